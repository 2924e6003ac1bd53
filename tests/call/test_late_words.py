"""What the caller has said stands in the conversation before its answer, however late it is written down.

In virtual time. Nova Sonic writes a turn down before it answers it.
"""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.testing import AgentLoss, Caller, Replies, SlowStart, Transcripts, Voice
from piopiy_pipeline.testing.scripted.faults import FaultPlan, Refused
from tests.support.difficult_callers import NO_WAIT
from tests.support.realtime_calls import GREETING, LONG, Case
from tests.support.realtime_providers import PROVIDERS
from tests.support.virtual import PEOPLE, YES, texts

LATE = ["openai", "grok", "inworld", "voice_live", "gemini", "ultravox"]
TWO = ["a table please", "yes"]

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


@pytest.fixture(params=LATE)
def kind(request: pytest.FixtureRequest) -> type[Case]:
    return PROVIDERS[request.param]()


def late(kind: type[Case], *replies: str, after_s: float = 3.0) -> Case:
    """Return a bot whose provider writes down each turn when its answer was heard already."""
    case = kind()
    ears = Transcripts(texts=TWO, latency=after_s)
    case.server = kind.make_server(Replies(*replies, latency=0.2), ears=ears)
    return case


def test_the_words_stand_before_the_answer(kind: type[Case]) -> None:
    case = late(kind, "How many?", "Bye.")
    call = case.call(Caller().say(PEOPLE).pause(5).say(YES).pause(6))
    assert texts(call, "user") == TWO, call.timeline()
    assert case.said == [GREETING, "a table please", "How many?", "yes", "Bye."], call.timeline()
    turns = [event.kind for event in call.events if event.kind in ("user_turn", "bot_turn")]
    assert turns == ["bot_turn", "bot_turn", "user_turn", "bot_turn", "user_turn"], "each when it is known"


@pytest.mark.parametrize("kind", ["openai", "grok", "inworld", "voice_live"], indirect=True)
def test_words_that_come_between_two_failures_of_their_answer_are_no_turn_with_another_retry(
    kind: type[Case],
) -> None:
    case = kind()
    fails_twice = Replies("How many?", "Bye.", faults={1: Refused(500, times=2)}, latency=1.0)
    case.server = kind.make_server(fails_twice, ears=Transcripts(texts=TWO, latency=1.5))
    call = case.call(Caller().say(PEOPLE).pause(20))
    assert texts(call, "user") == TWO[:1], call.timeline()
    assert len(call.of("error")) == 2, call.timeline()
    assert call.end_reason is EndReason.ERROR


@pytest.mark.parametrize("kind", ["openai", "grok", "inworld", "voice_live"], indirect=True)
def test_each_turn_has_a_retry_also_when_its_answer_fails_before_its_words_are_written_down(
    kind: type[Case],
) -> None:
    case = kind()
    fails_once_a_turn = {n: Refused(500) for n in (1, 2)}
    replies = Replies("How many?", "Bye.", faults=fails_once_a_turn, latency=0.5)
    case.server = kind.make_server(replies, ears=Transcripts(texts=TWO, latency=0.1))
    case.server.model.hearing = FaultPlan({2: SlowStart(by_s=1.5)})
    call = case.call(Caller().say(PEOPLE).pause(12).say(YES).pause(12))
    assert [len(call.of("error")), texts(call, "bot")] == [2, [GREETING, "How many?", "Bye."]], (
        call.timeline()
    )


@pytest.mark.parametrize("kind", ["openai", "gemini", "ultravox"], indirect=True)
def test_an_agent_that_is_lost_behind_them_is_followed_by_one_that_answers_nothing_twice(
    kind: type[Case],
) -> None:
    case = late(kind, "How many?", "Bye.")
    call = case.call(Caller().say(PEOPLE).pause(9).say(YES).pause(6), losses=[AgentLoss("user_turn", 0.3)])
    assert len(call.of("agent_lost")) == 1
    assert texts(call, "bot") == [GREETING, "How many?", "Bye."], call.timeline()
    assert case.said == [GREETING, "a table please", "How many?", "yes", "Bye."]


@pytest.mark.parametrize("kind", ["openai", "grok", "gemini"], indirect=True)
def test_the_words_of_an_interruption_stand_behind_the_answer_that_was_cut_off(kind: type[Case]) -> None:
    case = kind(LONG, "Bye.", texts=["a table please", "no wait"], voice=Voice(speed=2.0))
    case.server.model.hearing = FaultPlan({2: SlowStart(by_s=4.0)})
    call = case.call(Caller().say(PEOPLE).interrupt(NO_WAIT, after=1.5).pause(7))
    greeting, asked, cut, words, bye = case.said
    assert [greeting, asked, words, bye] == [GREETING, "a table please", "no wait", "Bye."], call.timeline()
    assert LONG.startswith(cut)
    assert cut != LONG
