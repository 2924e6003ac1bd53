"""A bot that acts in a loop gives way to others, and does not fill the pipeline. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from piopiy_pipeline.session import Call
from piopiy_pipeline.session.author_pace import ACTS_PER_S, AuthorPace
from piopiy_pipeline.testing import CallerLine, Replies, ScriptedLLM, ScriptedSTT, ScriptedTTS, simulate
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from piopiy_pipeline.voice_agent import VoiceAgent

pytestmark = pytest.mark.usefixtures("either_bot")


@pytest.mark.three_services("nobody calls")
def test_what_comes_seldom_does_not_wait_and_what_comes_at_once_goes_one_by_one() -> None:
    async def story() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        pace = AuthorPace()
        began = loop.time()
        for _ in range(2 * ACTS_PER_S):
            await pace.keep()
        seldom_s = loop.time() - began
        await asyncio.gather(*(pace.keep() for _ in range(10 * ACTS_PER_S)))
        return seldom_s, loop.time() - began

    seldom_s, all_s = run_virtual(story)
    assert seldom_s == 0.0
    assert all_s == pytest.approx(10, rel=0.05)


ACTS: dict[str, Callable[[Call], Awaitable[Any]]] = {
    "say": lambda call: call.say("Hello."),
    "send_message": lambda call: call.send_message({"a": 1}),
    "send_dtmf": lambda call: call.send_dtmf("1", at_once=True),
    "respond": lambda call: call.respond(),
    "transfer": lambda call: call.transfer("+4930123456", ring_timeout_s=1),
    "hangup": lambda call: call.hangup(final=False),
    "save": lambda call: call.save(),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_loop_around_any_act_of_an_ended_call_does_not_hold_up_the_others(act: str) -> None:
    """Without a pause it would never come back: the virtual clock would stand, and the run be given up."""
    acts = 0

    async def bot(call: Call) -> None:
        nonlocal acts
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
        )
        await agent.start()
        assert call.ended
        while True:  # until the callback's time after the end is over
            await ACTS[act](call)
            acts += 1

    async def caller(line: CallerLine) -> None:
        await asyncio.sleep(2)

    call = simulate(bot, caller, limit_s=30, wall_limit_s=20)
    call.assert_ended("caller_hangup")
    assert 10 <= acts <= ACTS_PER_S * 10
