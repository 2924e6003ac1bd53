"""A flow leads a call to a model that hears and speaks itself, whoever's the model is: the flow of the examples.

A session of OpenAI's and of those like it is told each node. Of Gemini Live, Nova Sonic and Ultravox each node is
another session, with the conversation as it was heard. `test_realtime_flow.py` walks every edge with OpenAI's, and
loses its agent in every turn. In virtual time.
"""

from __future__ import annotations

import pytest
from loguru import logger

from piopiy_pipeline.testing import AgentLoss
from tests.support.flow_calls import WAYS, Walk, assert_it_goes_on_where_it_was, assert_its_nodes_speak
from tests.support.realtime_providers import PROVIDERS
from tests.support.spoken_flows import walk_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`"),
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # of Nova Sonic's service
]
EACH_WAY = ("openai", "gemini", "nova", "ultravox")
"""One for each way in which a node reaches the model."""


@pytest.fixture
def walk(request: pytest.FixtureRequest) -> Walk:
    return walk_of(request.param)


@pytest.mark.parametrize("name", list(PROVIDERS))
def test_a_flow_speaks_in_its_nodes_and_ends_when_the_goodbye_was_heard(name: str) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="WARNING")
    try:
        assert_its_nodes_speak(walk_of(name))
    finally:
        logger.remove(sink)
    assert not [line for line in lines if "the session was lost" in line], lines


@pytest.mark.parametrize("walk", EACH_WAY, indirect=True)
def test_what_a_node_says_before_is_heard_before_its_task(walk: Walk) -> None:
    heard = walk(WAYS["comes with many"]).said
    said, asked = "my colleagues call you back", "Ask whether there is anything else"
    assert heard.index(said) < heard.index(asked)
    assert heard.count(said) == heard.count(asked) == 1


NUMBERS = "knows a number"


@pytest.mark.parametrize(
    ("walk", "way", "loss"),
    [
        *((name, NUMBERS, AgentLoss("flow", 0.0, 2)) for name in PROVIDERS),
        *((name, NUMBERS, AgentLoss("tool_result", 0.0, 1)) for name in EACH_WAY[1:]),
        *((name, NUMBERS, AgentLoss("flow", 1.0, number)) for name in EACH_WAY[1:] for number in (1, 2)),
        *(
            (name, "changes their mind", AgentLoss(event, after_s, number))
            for name in ("gemini", "ultravox")
            for event, after_s, number in (("flow", 1.0, 4), ("tool_result", 0.0, 5), ("flow", 0.0, 6))
        ),
    ],
    indirect=["walk"],
)
def test_the_flow_goes_on_where_it_was(walk: Walk, way: str, loss: AgentLoss) -> None:
    assert_it_goes_on_where_it_was(walk, way, loss)
