"""A flow leads a call with a model whose prompt and tools are for as long as a session lasts: each node is another one,
with the conversation as it was heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.llm_service import LLMService
from pipecat.services.ultravox.llm import OneShotInputParams, UltravoxRealtimeLLMService

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Providers, Replies, SimulatedCall, Tool, Transcripts, Voice
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_realtime_flow import spoken_model
from tests.support import flow_calls
from tests.support.aws_sdk import provide_aws_sdk
from tests.support.flow_calls import (  # the flow finds its functions in this module
    FLOW,
    WAYS,
    assert_every_edge_is_walked,
    assert_it_goes_on_where_it_was,
    assert_its_nodes_speak,
    book,
    find_booking,
    moments_in_turn,
    opening_hours,
    set_people,
    set_time,
)
from tests.support.told_notes import without_notes

provide_aws_sdk()
from pipecat.services.aws.nova_sonic.llm import AWSNovaSonicLLMService  # noqa: E402

__all__ = ["book", "find_booking", "set_people", "set_time"]

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # pipecat's ready.wav
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def model(context: LLMContext) -> str | Tool:
    """Answer as the model of text does."""
    return spoken_model(without_notes(context))


SPOKEN = Providers(
    stt=Transcripts(latency=0.2), llm=Replies(otherwise=model, latency=0.3), tts=Voice(latency=0.1)
)


def ultravox() -> LLMService[Any]:
    return UltravoxRealtimeLLMService(params=OneShotInputParams(api_key="none"))


def nova() -> LLMService[Any]:
    keys: dict[str, Any] = {"access_key_id": "none", "secret_access_key": "none", "region": "us-east-1"}
    return AWSNovaSonicLLMService(**keys)


def bot_of(make: Any) -> Any:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", greeting="Good day.", flow=FLOW, call=call, tools=[opening_hours]
        )
        await agent.Action(llm=make())
        await agent.start()

    return bot


def walk(words: Sequence[str], losses: Sequence[AgentLoss] = (), make: Any = ultravox) -> SimulatedCall:
    return flow_calls.walk(words, losses, bot=bot_of(make), providers=SPOKEN)


@pytest.mark.parametrize("make", [ultravox, nova])
def test_every_edge_of_six_nodes_is_walked(make: Any) -> None:
    assert_every_edge_is_walked(partial(walk, make=make))


def test_a_flow_speaks_in_its_nodes_and_ends_when_the_goodbye_was_heard() -> None:
    assert_its_nodes_speak(walk)


def test_what_a_node_says_before_is_heard_before_its_task() -> None:
    heard = walk(WAYS["comes with many"]).said
    assert heard.index("my colleagues call you back") < heard.index("Ask whether there is anything else")
    assert (
        heard.count("my colleagues call you back") == heard.count("Ask whether there is anything else") == 1
    )


@pytest.mark.parametrize(
    ("way", "event", "number", "after_s"), moments_in_turn(("flow", 0.0), ("flow", 1.0), ("tool_result", 0.0))
)
def test_the_flow_goes_on_where_it_was(way: str, event: str, number: int, after_s: float) -> None:
    assert_it_goes_on_where_it_was(walk, way, AgentLoss(event, after_s, number))


@pytest.mark.parametrize(("event", "number"), [("flow", 2), ("tool_result", 1)])
def test_a_flow_with_nova_sonic_goes_on_where_it_was(event: str, number: int) -> None:
    assert_it_goes_on_where_it_was(partial(walk, make=nova), "knows a number", AgentLoss(event, 0.0, number))
