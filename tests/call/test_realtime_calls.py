"""Whole calls of a speech-to-speech bot with the providers of the cascade's bot, and faults. In virtual time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    Caller,
    CallerLine,
    Disconnects,
    Garbage,
    Providers,
    Refused,
    Replies,
    SimulatedCall,
    Stalls,
    TimesOut,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.scripted_bot import PROVIDERS, booking_caller
from tests.support.virtual import PEOPLE, YES, longest_silence_s, texts

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


async def create_session(call: Call) -> None:
    """The bot of `tests.support.scripted_bot`, whose model hears and speaks."""

    async def book_table(params: FunctionCallParams, people: int, day: str) -> None:
        """Book a table."""
        await params.result_callback({"booked": True})

    async def hang_up(params: FunctionCallParams) -> None:
        """End the call."""
        await agent.hangup()
        await params.result_callback({"goodbye": True})

    agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", tools=[book_table, hang_up], call=call)
    await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none"))
    await agent.start()


def providers(*replies: Any, **options: Any) -> Providers:
    ears = Transcripts(texts=["a table please", "for four", "on Friday", "yes"])
    return Providers(stt=ears, llm=Replies(*replies, **options), tts=Voice())


def heard_in_speech(call: SimulatedCall) -> bool:
    """Whether the bot begins to speak while the caller does."""
    spans = [(event.data["start"], event.data["end"]) for event in call.of("user_speech")]
    loud = np.flatnonzero(np.abs(call.bot_audio.astype(np.int32)) > 500) / call.rate
    begins = loud[np.diff(loud, prepend=-1.0) > 0.2]
    return any(((begins > start) & (begins < end)).any() for start, end in spans)


def test_the_cascades_call_goes_the_same_way() -> None:
    call = simulate(create_session, booking_caller(), providers=PROVIDERS)
    call.assert_ended(EndReason.AGENT_HANGUP)
    call.assert_tool("book_table", people=4, day="Friday")
    said = texts(call, "bot")
    assert said[0] == "Good day."
    assert said[-1] == "Thank you for calling, goodbye."
    assert texts(call, "user")[0] == "I would like to book a table for four people."


@pytest.mark.parametrize(
    "fault",
    [
        Refused(500),
        TimesOut(after_s=2),
        Disconnects(after=0.5),
        Garbage(after=0.5),
        Stalls(),
        Stalls(after=0.5),
    ],
    ids=["fails", "times out", "is dropped midway", "is garbage midway", "stalls", "stalls midway"],
)
def test_a_provider_that_fails_once_is_heard_and_answers(fault: Any) -> None:
    call = simulate(
        create_session, Caller().say(PEOPLE).pause(25), providers=providers(LONG, faults={1: fault})
    )
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot")[-1].endswith("under the trees."), call.timeline()
    assert longest_silence_s(call) < 13, call.timeline()


def test_a_call_whose_agent_is_lost_goes_on_at_another_one() -> None:
    call = simulate(
        create_session,
        Caller().say(PEOPLE).pause(6).say(YES).pause(6),
        providers=providers("For how many?", "For how many people, please?"),
        losses=[AgentLoss("answered", after_s=9.0)],
    )
    call.assert_ended(EndReason.CALLER_HANGUP)
    said = texts(call, "bot")
    assert said[:2] == ["Good day.", "For how many?"], call.timeline()
    assert said[-1] == "For how many people, please?", call.timeline()


@pytest.mark.xfail(
    strict=True, reason="an answer that is given up before its first sound counts as a failure"
)
def test_a_caller_who_speaks_before_the_answer_begins_is_no_failure_of_the_model() -> None:
    async def caller(line: CallerLine) -> None:
        await line.say(PEOPLE)
        await line.pause(1.0)
        await line.say(PEOPLE)
        await line.pause(10)

    call = simulate(create_session, caller, providers=providers(LONG, LONG, latency=2.0))
    assert not call.of("error"), call.timeline()
    assert not heard_in_speech(call), call.timeline()
