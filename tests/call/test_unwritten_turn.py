"""A session that is lost before the caller's words are written down: the next one hears them. In virtual time."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.testing import Caller, Disconnects, OpenAIRealtimeServer, Replies, Transcripts, Voice
from tests.support.realtime_calls import GREETING, Case
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
