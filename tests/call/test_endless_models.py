"""Calls of speech-to-speech bots whose model speaks or writes without end, and is cut off. In virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.limits.stream_limits import StreamLimits
from piopiy_pipeline.testing import (
    Caller,
    CallerLine,
    Endless,
    Providers,
    Replies,
    ScriptedTTS,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.virtual import PEOPLE, YES, texts

LONG = "Certainly, we have a table by the window and another one out on the terrace under the trees."


def bot(*, tts: bool, limits: StreamLimits) -> Callable[[Call], Awaitable[None]]:
    async def create_session(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", greeting="Good day.", limits=limits, call=call)
        services: dict[str, Any] = {"tts": ScriptedTTS()} if tts else {}
        await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none"), **services)
        await agent.start()

    return create_session


def providers(*, speed: float | None, stubborn: bool = False) -> Providers:
    return Providers(
        stt=Transcripts(texts=["a table please", "yes"]),
        llm=Replies(LONG, "As you like.", faults={1: Endless(text_speed=speed, stubborn=stubborn)}),
        tts=Voice(speed=speed),
    )


@pytest.mark.parametrize("speed", [1.5, None], ids=["at 1.5 times its speed", "at once"])
def test_a_model_that_speaks_without_end_is_cut_and_answers_the_next_turn(speed: float | None) -> None:
    call = simulate(
        bot(tts=False, limits=StreamLimits(answer_s=9)),
        Caller().say(PEOPLE).pause(20).say(YES).pause(8),
        providers=providers(speed=speed),
    )
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    errors = [event.data["message"] for event in call.of("error")]
    assert "an answer of more than 9 s: it was cut" in errors, call.timeline()
    said = texts(call, "bot")
    assert said[-1] == "As you like.", call.timeline()
    assert LONG in said[1], "what had come was heard"
    assert len(said[1].split()) < 3 * len(LONG.split()), said


def test_a_model_that_writes_without_end_is_cut_and_answers_the_next_turn() -> None:
    call = simulate(
        bot(tts=True, limits=StreamLimits(answer_chars=200)),
        Caller().say(PEOPLE).pause(20).say(YES).pause(8),
        providers=providers(speed=1.5),
    )
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()
    errors = [event.data["message"] for event in call.of("error")]
    assert errors == ["an answer of more than 200 characters: cut behind a sentence"], call.timeline()
    assert texts(call, "bot")[-1] == "As you like.", call.timeline()


def test_a_model_that_floods_its_session_with_text_ends_its_call_and_is_named() -> None:
    call = simulate(  # else `CallStuck`: the provider's leave comes behind all that nobody reads
        bot(tts=True, limits=StreamLimits()),
        Caller().say(PEOPLE).pause(20),
        providers=providers(speed=None, stubborn=True),
    )
    assert call.end_reason is EndReason.ERROR, call.timeline()
    assert call.end_detail.endswith(
        "of more than 12000 characters: cut behind a sentence, and it goes on writing"
    )


@pytest.mark.parametrize("tts", [True, False], ids=["it writes", "it speaks"])
def test_a_call_ends_in_time_while_its_model_goes_on_without_end(tts: bool) -> None:
    limits = StreamLimits(answer_s=6000, answer_chars=10**9, written_chars=10**9)

    async def hangs_up(line: CallerLine) -> None:
        await line.say(PEOPLE)
        await line.pause(3)

    call = simulate(bot(tts=tts, limits=limits), hangs_up, providers=providers(speed=None))
    assert call.end_reason is EndReason.CALLER_HANGUP, call.timeline()


def test_a_sentence_that_is_cut_was_not_heard_to_its_end() -> None:
    heard: list[bool] = []

    async def create_session(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", limits=StreamLimits(answer_s=9), call=call)
        await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none"))

        async def tell(_: object) -> None:
            heard.append(await agent.say("Once upon a time there was a long story. " * 20))
            heard.append(await agent.say("That is all."))

        call.on("answered", tell)
        await agent.start()

    call = simulate(create_session, Caller().pause(40), providers=providers(speed=1.5))
    assert heard == [False, True], call.timeline()
