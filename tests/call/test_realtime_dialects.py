"""Providers that follow OpenAI's protocol: Grok, Inworld and Azure Voice Live, by pipecat's own services.

Each is called at a server that has its settings and its names of events, and refuses what it has not published. In
virtual time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pipecat.services.llm_service import FunctionCallParams

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.capture import CapturedCall
from piopiy_pipeline.testing import (
    Caller,
    Tool,
    Voice,
    replay,
)
from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeSession
from piopiy_pipeline.testing.realtime.openai_response import OpenAIResponse
from piopiy_pipeline.testing.replaying.differences import truncations_in
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.realtime_providers import GrokCase, InworldCase, VoiceLiveCase
from tests.support.services import ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, YES, texts

TWO = ["a table please", "yes"]


ALL = [GrokCase, InworldCase, VoiceLiveCase]
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
every = pytest.mark.parametrize("kind", ALL)


@every
@pytest.mark.parametrize("turns", [None, 0.5])
def test_a_whole_call(kind: type[Case], turns: float | None) -> None:
    case = kind("A table for two.", "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), action={"turns": turns} if turns else {})
    call.assert_ended(EndReason.CALLER_HANGUP)
    assert texts(call, "bot") == [GREETING, "A table for two.", "Goodbye."], call.timeline()
    assert texts(call, "user") == TWO
    assert case.said == [GREETING, "a table please", "A table for two.", "yes", "Goodbye."]
    assert not call.of("interruption")
    assert not call.of("error")
    session = case.server.session
    assert session.conversation()[0]["content"] == "Be brief."
    assert [item.text() for item in session.items.values()] == case.said, "the provider has it, too"
    assert session.heard_s > 10
    assert (session.config.turn_detection is None) == (turns is not None)
    assert not [message.body for message in session.sent if message.kind == "error"]


@every
@pytest.mark.parametrize("turns", [None, "smart"])
def test_a_barge_in_is_told_at_the_position_that_was_heard(kind: type[Case], turns: str | None) -> None:
    case = kind(LONG, "Bye.", texts=["a table please", "no wait"])
    call = case.call(
        Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5), action={"turns": turns} if turns else {}
    )
    (cut,) = case.server.session.truncations
    begun = next(event.at for event in call.of("bot_audio") if event.at > 4)
    silent = (call.of("hold") or call.of("interruption")[-1:])[0].at
    assert abs(cut.audio_end_ms / 1000 - (silent - begun)) <= 0.021, call.timeline()
    assert cut.audio_end_ms < 2500, "although all of it was sent"
    said = texts(call, "bot")
    assert LONG.startswith(said[1])
    assert said[1] != LONG
    assert said[2:] == ["Bye."]
    its_words = case.server.session.items[cut.item_id].text().split()
    assert said[1].split() == its_words[: len(said[1].split())]
    assert [message["content"] for message in case.context][-3:] == [said[1], "no wait", "Bye."]


@pytest.mark.parametrize("kind", [Case, *ALL])
def test_no_more_is_told_than_was_heard_of_an_answer_that_is_cancelled_ahead_of_the_interruption(
    kind: type[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = OpenAIRealtimeSession._started

    async def cancel_first(session: OpenAIRealtimeSession, boundary: Any) -> None:
        await session.cancel("turn_detected")
        await started(session, boundary)

    monkeypatch.setattr(OpenAIRealtimeSession, "_started", cancel_first)
    case = kind(LONG, "Bye.", texts=TWO, voice=Voice(speed=1.5), words_ahead_s=1.0)
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=0.1, insist=False).pause(3))
    assert len(call.of("interruption")) == 1
    assert texts(call, "bot") == [GREETING, "Bye."], "a tenth of a second was heard, and no word"
    assert case.said == [GREETING, "a table please", "yes", "Bye."]


@every
@pytest.mark.parametrize("speed", [None, 1.5])
def test_what_must_not_be_interrupted_is_heard_to_its_end(kind: type[Case], speed: float | None) -> None:
    heard: list[bool] = []

    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            heard.append(await agent.say(LONG, interruptible=False))

        agent.on("answered", say)

    case = kind("Bye.", "Bye.", texts=["no wait"], voice=Voice(speed=speed))
    call = case.call(
        Caller().interrupt(NO_WAIT, after=1.0), agent={"greeting": None}, action={"turns": 0.5}, watch=watch
    )
    assert heard == [True]
    assert texts(call, "bot")[0] == LONG
    assert case.server.session.truncations == []


@every
@pytest.mark.parametrize("turns", [None, 0.5])
def test_a_recorded_call_is_replayed(kind: type[Case], turns: float | None, tmp_path: Path) -> None:
    case = kind(LONG, "Goodbye.", texts=TWO)
    caller = Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5).pause(6).hangup()
    file = tmp_path / "call.zip"
    case.call(caller, record=file, action={"turns": turns} if turns else {})
    case.action = {"turns": turns} if turns else {}
    outcome = replay(file, case.bot)
    outcome.assert_same()
    assert len(case.server.sessions) == 1
    (before,), (after,) = truncations_in(CapturedCall(file)), truncations_in(outcome.replayed)
    assert after[1] == pytest.approx(before[1], abs=0.05)


@pytest.mark.parametrize("interrupt", [False, True])
def test_voice_live_may_write_for_a_voice_of_ones_own(interrupt: bool) -> None:
    case = VoiceLiveCase(LONG, "Goodbye.", texts=TWO)
    caller = Caller().say(PEOPLE)
    caller = caller.interrupt(NO_WAIT, after=1.5) if interrupt else caller.say(YES)
    call = case.call(caller, action={"tts": ToneTTS(words=True)})
    said = texts(call, "bot")
    assert said[0] == GREETING
    assert (said[1] == LONG) != interrupt
    assert LONG.startswith(said[1])
    assert said[-1] == "Goodbye."
    assert [item.text() for item in case.server.session.items.values()] == case.said


@pytest.mark.parametrize("kind", [GrokCase, InworldCase])
def test_who_writes_nothing_that_is_heard_of_needs_no_voice(kind: type[Case]) -> None:
    call = kind("Hello.").call(Caller().pause(1), action={"tts": ToneTTS()})
    call.assert_ended(EndReason.ERROR)
    assert "answers in speech" in call.end_detail


@every
def test_ears_of_ones_own_write_down_what_the_caller_says(kind: type[Case]) -> None:
    case = kind("A table for two.", "Goodbye.", texts=["theirs", "theirs"])
    call = case.call(Caller().say(PEOPLE).say(YES), action={"stt": ScriptedSTT(TWO)})
    assert texts(call, "user") == TWO
    assert texts(call, "bot") == [GREETING, "A table for two.", "Goodbye."]


@every
def test_a_turn_that_ends_while_the_model_says_a_text_is_answered_behind_it(kind: type[Case]) -> None:
    def watch(agent: VoiceAgent) -> None:
        async def say(_: object) -> None:
            await asyncio.sleep(6.4)  # the caller speaks
            await agent.say("One moment please, I have a look at that.")

        agent.on("answered", say)

    case = kind("A table for two.", texts=["a table please"], voice=Voice(speed=1.2))
    call = case.call(
        Caller().pause(1).say(PEOPLE).pause(8),
        agent={"greeting": None, "idle": False},
        action={"turns": 0.5},
        watch=watch,
    )
    said = texts(call, "bot")
    assert said == ["One moment please, I have a look at that.", "A table for two."], call.timeline()


@pytest.mark.parametrize("kind", [Case, *ALL])
def test_a_tool_that_returns_before_its_answer_is_over_is_answered_once(
    kind: type[Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = OpenAIResponse._done

    async def later(response: OpenAIResponse, *given: Any) -> None:
        await asyncio.sleep(0.3)
        await done(response, *given)

    monkeypatch.setattr(OpenAIResponse, "_done", later)

    async def book(params: FunctionCallParams) -> None:
        """Book a table."""
        await params.result_callback({"booked": True})

    case = kind([Tool("book"), "It is booked."], "Goodbye.", texts=TWO)
    call = case.call(Caller().say(PEOPLE).say(YES), agent={"tools": [book]})
    assert texts(call, "bot") == [GREETING, "It is booked.", "Goodbye."], call.timeline()
    assert not call.of("error"), "no answer is taken for an empty one"
    assert len([one for one in case.server.session.sent if one.kind == "response.created"]) == 4
