"""A flow leads a call with Gemini Live: each node is another session, with the conversation as it was heard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Providers, Replies, SimulatedCall, Tool, Transcripts, Voice
from piopiy_pipeline.testing.realtime import gemini_live
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.call.test_realtime_flow import spoken_model
from tests.support import flow_calls
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
    tools_of,
)

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import MODELS, gemini_service

__all__ = ["book", "find_booking", "set_people", "set_time"]

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


def gemini_model(context: LLMContext) -> str | Tool:
    """Answer as the model of text does. What tools return, a new session is told as words of the caller."""
    messages = [dict(message) for message in context.get_messages() if isinstance(message, dict)]
    for message in messages:
        if str(message.get("content")).startswith(
            ("[Function ", "(Your last answer", "The caller has interr")
        ):
            message["role"] = "developer"
            message["content"] = "{}"
    return spoken_model(LLMContext(messages, tools=context.tools))  # type: ignore[arg-type]


SPOKEN = Providers(
    stt=Transcripts(latency=0.2), llm=Replies(otherwise=gemini_model, latency=0.3), tts=Voice(latency=0.1)
)


def bot_of(model: str) -> Any:
    async def spoken_bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", greeting="Good day.", flow=FLOW, call=call, tools=[opening_hours]
        )
        await agent.Action(llm=gemini_service("https://nowhere.test", model))
        await agent.start()

    return spoken_bot


def walk(words: Sequence[str], losses: Sequence[AgentLoss] = (), model: str = MODELS[0]) -> SimulatedCall:
    return flow_calls.walk(words, losses, bot=bot_of(model), providers=SPOKEN)


@pytest.mark.parametrize("model", MODELS)
def test_every_edge_of_six_nodes_is_walked(model: str) -> None:
    assert_every_edge_is_walked(partial(walk, model=model))


def test_a_flow_speaks_in_its_nodes_and_ends_when_the_goodbye_was_heard() -> None:
    assert_its_nodes_speak(walk)


def test_what_a_node_says_before_is_heard_before_its_task() -> None:
    heard = walk(WAYS["comes with many"]).said
    assert heard.index("my colleagues call you back") < heard.index("Ask whether there is anything else")
    assert (
        heard.count("my colleagues call you back") == heard.count("Ask whether there is anything else") == 1
    )


def test_a_function_that_is_used_again_while_its_node_is_entered_leads_there_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def model(context: LLMContext) -> str | Tool:
        """Whatever was said last, somebody has told the old node's session how many there are."""
        said = " ".join(str(one.get("content")) for one in context.get_messages() if isinstance(one, dict))
        if "set_people" in tools_of(context) and "we are 2" in said:
            return Tool("set_people", people=2)
        return gemini_model(context)

    monkeypatch.setattr(gemini_live, "_is_to_be_answered", lambda result: True)  # it asks itself once more
    providers = Providers(
        stt=Transcripts(latency=0.2), llm=Replies(otherwise=model, latency=0.2), tts=Voice(latency=0.1)
    )
    words = ["a table please", "we are 2"]
    call = flow_calls.walk(words, bot=bot_of(MODELS[0]), providers=providers)
    assert len([one for one in call.of("tool") if one.data["name"] == "set_people"]) > 1
    steps = [step for step in flow_calls.walked(call) if step[1] == "set_people"]
    assert steps == [("people", "set_people", "time")]
    assert all(node for _, _, node in flow_calls.walked(call)), call.timeline()
    assert call.said.count("The table is for 2") == 1
    lost = flow_calls.walk(
        words, [AgentLoss("flow", 0.3, number=3)], bot=bot_of(MODELS[0]), providers=providers
    )
    assert len(lost.of("agent_lost")) == 1
    assert flow_calls.walked(lost) == flow_calls.walked(call), "it does not begin anew"


MOMENTS = moments_in_turn(("flow", 0.0), ("flow", 1.0), ("tool_result", 0.0))


@pytest.mark.parametrize(("way", "event", "number", "after_s"), MOMENTS)
def test_the_flow_goes_on_where_it_was(way: str, event: str, number: int, after_s: float) -> None:
    assert_it_goes_on_where_it_was(walk, way, AgentLoss(event, after_s, number))
