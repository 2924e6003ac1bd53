"""A session that is lost before the caller's words are written down: the next one hears them. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.testing import Caller, Disconnects, OpenAIRealtimeServer, Replies, Transcripts, Voice
from piopiy_pipeline.testing.realtime.openai_realtime import OpenAIRealtimeSession
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.realtime_calls import GREETING, Case
from tests.support.realtime_providers import GrokCase
from tests.support.virtual import PEOPLE, YES, texts

BYE = "Goodbye then, and thank you for calling us."


@pytest.mark.parametrize("action", [{}, {"interruption": "immediate"}, {"turns": "smart"}, {"turns": 0.5}])
def test_the_next_session_hears_the_question_and_answers_it_once(action: dict[str, Any]) -> None:
    case = Case()
    replies = Replies("For how many?", BYE, faults={1: Disconnects(0.0)})
    ears = Transcripts(texts=["a table please", "a table please", "yes"], latency=0.4)
    case.server = OpenAIRealtimeServer(replies, ears=ears)
    call = case.call(Caller().say(PEOPLE).pause(5).say(YES).pause(4), action=action)
    assert len(case.server.sessions) == 2
    assert texts(call, "user") == ["a table please", "yes"]
    assert texts(call, "bot") == [GREETING, "For how many?", BYE]
    assert case.said == [GREETING, "a table please", "For how many?", "yes", BYE]


@pytest.mark.parametrize("action", [{}, {"turns": "smart"}])
def test_a_question_that_is_written_down_is_not_heard_again(action: dict[str, Any]) -> None:
    heard, slowly = ["a table please", "yes"], Voice(speed=1.5)
    faults = {1: Disconnects(0.9)}
    case = Case("For how many people shall it be?", BYE, texts=heard, reply_faults=faults, voice=slowly)
    call = case.call(Caller().say(PEOPLE).pause(7).say(YES).pause(4), action=action)
    assert len(case.server.sessions) == 2
    assert texts(call, "user") == heard


@pytest.mark.parametrize("lost_at", [5.3, 5.95], ids=["while the caller speaks", "behind their last word"])
def test_a_question_that_the_next_session_does_not_hear_is_asked_for_as_any_that_nothing_comes_of(
    lost_at: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grok begins its answers by itself: the end of the turn on this side asks for nothing."""
    hear = OpenAIRealtimeSession._hear

    async def hear_in_the_first(session: OpenAIRealtimeSession, pcm: bytes) -> None:
        if session.number == 1:
            await hear(session, pcm)

    def watch(agent: VoiceAgent) -> None:
        def drop(_: object) -> None:
            asyncio.get_running_loop().call_later(lost_at, case.server.session.drop)

        agent.on("answered", drop)

    monkeypatch.setattr(OpenAIRealtimeSession, "_hear", hear_in_the_first)
    case = GrokCase("For how many?", texts=["a table please"])
    call = case.call(Caller().say(PEOPLE).pause(25), agent={"idle": False}, watch=watch)
    assert texts(call, "bot") == [GREETING, "For how many?"], call.timeline()
    lost, silent = call.of("error")
    assert 9.5 < silent.at - lost.at < 11.5, "after the same time as in any session"
    assert case.server.session.count("response.create") == 1
