"""What a model that hears itself does before its provider has written down what the caller has said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import current_call
from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    Providers,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.tools import end_call
from tests.regressions.test_interrupted_tools import GOODBYE
from tests.regressions.test_tools import ToolBot
from tests.support.virtual import PEOPLE, YES, longest_silence_s, texts

pytestmark = pytest.mark.usefixtures("either_bot")


def called(bot: ToolBot, caller: Any, *replies: Any, latency: float, otherwise: Any = None) -> SimulatedCall:
    llm = Replies(*replies, otherwise=otherwise)
    providers = Providers(stt=Transcripts(latency=latency), llm=llm, tts=Voice())
    return simulate(bot, caller, providers=providers)


@pytest.mark.parametrize("latency", [0.1, 0.8, 1.5])
def test_words_that_come_behind_the_end_they_have_asked_for_do_not_call_it_off(latency: float) -> None:
    caller = Caller().say(PEOPLE, text="bye").pause(30)
    call = called(ToolBot(end_call()), caller, (Tool("end_call"), GOODBYE), latency=latency)
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert call.of("end")[0].at < 13, call.timeline()
    assert texts(call, "bot") == [GOODBYE]


@pytest.mark.parametrize("latency", [0.1, 0.8])
def test_a_caller_who_goes_on_speaking_calls_the_end_off_as_soon_as_it_is_written_down(
    latency: float,
) -> None:
    caller = Caller().say(PEOPLE, text="bye").interrupt(YES, after=1.0, text="wait, one more thing")
    ends = (Tool("end_call"), GOODBYE)
    call = called(
        ToolBot(end_call()),
        caller.pause(3).say(YES, text="bye").pause(30),
        ends,
        "Yes, what is it?",
        ends,
        latency=latency,
    )
    assert "Yes, what is it?" in texts(call, "bot"), call.timeline()
    assert texts(call, "user") == ["bye", "wait, one more thing", "bye"]
    call.assert_ended(EndReason.AGENT_HANGUP)


async def ends_soon(params: Any) -> str:
    """End."""
    await asyncio.sleep(4)
    call = current_call.get()
    assert call is not None
    await call.hangup(final=False)
    return "Say goodbye."


@pytest.mark.parametrize("pause_s", [1.5, 3.4])
def test_a_noise_before_the_end_only_delays_it(pause_s: float) -> None:
    async def caller(line: CallerLine) -> None:
        await line.my_turn()
        await line.say(PEOPLE, text="bye")
        await line.pause(pause_s)
        await line.say(YES, text=" ")
        await line.pause(40)

    call = called(ToolBot(ends_soon), caller, (Tool("ends_soon"), GOODBYE), latency=0.1, otherwise="Goodbye.")
    call.assert_ended(EndReason.AGENT_HANGUP)
    assert call.of("end")[0].at < 22, call.timeline()


async def takes_long(params: Any) -> str:
    """Look."""
    await asyncio.sleep(10)
    return "done"


@pytest.mark.parametrize("latency", [0.1, 0.8])
def test_who_waits_for_a_tool_hears_so_though_their_words_are_written_down_later(latency: float) -> None:
    caller = Caller().say(PEOPLE, text="a table please").pause(20).hangup()
    call = called(
        ToolBot(takes_long),
        caller,
        (Tool("takes_long"), "It is done."),
        latency=latency,
        otherwise="One moment.",
    )
    asked = call.of("user_turn")[0].at
    assert longest_silence_s(call) < asked + 3, call.timeline()
