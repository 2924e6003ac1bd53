"""A flow with slow functions and two models loses its agent at any moment: it comes to its end all the same.

A few calls each time; with ``LOSSES_EXAMPLES=60`` more, and others each time.
"""

from __future__ import annotations

import asyncio
import functools
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    simulate,
)
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support import flow_calls
from tests.support.flow_calls import FLOW, PROVIDERS, RECORDING, walked

EXAMPLES = int(os.environ.get("LOSSES_EXAMPLES", "0"))
ANSWERS = {
    "Ask whether the caller wants": "a table please",
    "Ask for how many": "we are 4",
    "Ask for the day": "on Friday",
    "Repeat the booking for 4 on Friday at seven": "yes",
}


def book_with(
    losses: list[AgentLoss], booked: list[tuple[int, str]], slow_s: float, models: int
) -> SimulatedCall:
    def slowly(function: Any) -> Any:
        @functools.wraps(function)
        async def run(*args: Any, **given: Any) -> Any:
            await asyncio.sleep(slow_s)
            return await function(*args, **given)

        return run

    async def bot(call: Call) -> None:
        set_people = tool(idempotent=True)(slowly(flow_calls.set_people))
        set_time = slowly(flow_calls.set_time)
        find_booking = flow_calls.find_booking

        async def book(flow_manager: Any) -> tuple[Any, Any]:
            """Book the table."""
            state = flow_manager.state
            booked.append((state["people"], state["when"]))
            return await flow_calls.book(flow_manager)

        names = {"set_people": set_people, "set_time": set_time, "book": book, "find_booking": find_booking}
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", call=call)
        call.flow(FLOW, handlers=names)
        llms = [ScriptedLLM(Replies()) for _ in range(models)]
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""),
            llm=llms if models > 1 else llms[0],
            tts=ScriptedTTS(),
        )
        await agent.start()

    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        heard = await line.heard()
        for _ in range(14):
            wanted = next((say for asked, say in ANSWERS.items() if asked in heard), "pardon")
            await line.say(RECORDING, text=wanted)
            heard = await line.heard()
            if "say goodbye" in heard:
                await line.pause(5)
                return

    return simulate(bot, caller, providers=PROVIDERS, losses=losses, limit_s=200)


MOMENTS = st.one_of(
    st.builds(
        AgentLoss,
        st.sampled_from(["flow", "tool", "tool_result", "llm_started", "bot_audio", "transcript"]),
        st.floats(0, 1.5).map(lambda s: round(s, 2)),
        st.integers(1, 4),
    ),
    st.builds(AgentLoss, st.just("answered"), st.floats(0, 30).map(lambda s: round(s, 2))),
)


@pytest.mark.parametrize("models", [1, 2])
@settings(
    max_examples=EXAMPLES or 8,
    deadline=None,
    derandomize=not EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(losses=st.lists(MOMENTS, min_size=1, max_size=3), slow_s=st.sampled_from([0.0, 0.4, 1.2]))
def test_a_booking_comes_to_its_end(models: int, losses: list[AgentLoss], slow_s: float) -> None:
    booked: list[tuple[int, str]] = []
    call = book_with(losses, booked, slow_s, models)
    shown = f"{losses} {slow_s}\n{call.timeline()}"
    call.assert_ended("agent_hangup")
    assert set(booked) == {(4, "Friday at seven")}, shown
    nodes = [step[2] for step in walked(call)]
    order = ["welcome", "people", "time", "confirm", "goodbye"]
    assert [node for n, node in enumerate(nodes) if n == 0 or nodes[n - 1] != node] == order, shown
    call.assert_no_error()
