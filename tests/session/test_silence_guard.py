"""When a caller who waits has waited long enough: with no pipeline and no clock."""

from __future__ import annotations

import pytest

from piopiy_pipeline.session.silence_guard import SOUND_S, Filling, SilenceGuard


@pytest.fixture
def guard() -> SilenceGuard:
    guard = SilenceGuard(answer_s=1.5, tool_s=1.2)
    guard.caller_began(0)
    guard.caller_stopped(9.4)
    guard.turn_over(10)
    return guard


def check(guard: SilenceGuard, now: float, *, waits: bool = True, ready: bool = False) -> Filling:
    return guard.check(now, waits=waits, ready=ready)


def test_a_sentence_comes_once_and_then_a_sound_before_two_seconds(guard: SilenceGuard) -> None:
    assert check(guard, 11.4) is Filling.NOTHING
    assert guard.due(ready=False) == pytest.approx(11.5)
    assert check(guard, 11.5) is Filling.SENTENCE
    guard.heard(12.8, filling=True)
    assert guard.due(ready=False) == pytest.approx(12.8 + SOUND_S)
    assert check(guard, 14.4) is Filling.NOTHING
    assert check(guard, 14.5) is Filling.SOUND


def test_a_sentence_that_does_not_come_is_replaced_by_the_sound(guard: SilenceGuard) -> None:
    assert check(guard, 11.5) is Filling.SENTENCE
    assert check(guard, 10 + SOUND_S) is Filling.SOUND


def test_an_answer_on_its_way_to_the_voice_gets_no_sentence(guard: SilenceGuard) -> None:
    assert check(guard, 11.6, ready=True) is Filling.NOTHING
    assert check(guard, 11.7, ready=True) is Filling.SOUND


def test_a_slow_tool_gets_its_sentence_sooner(guard: SilenceGuard) -> None:
    guard.tool_started("a", 10.1)
    assert check(guard, 11.2) is Filling.NOTHING
    assert check(guard, 11.3) is Filling.SENTENCE


def test_a_bot_that_has_just_spoken_makes_the_sound_only(guard: SilenceGuard) -> None:
    guard.heard(11, filling=False)
    guard.tool_started("a", 11)
    assert check(guard, 12.6) is Filling.NOTHING
    assert check(guard, 12.7) is Filling.SOUND
    guard.heard(13, filling=True)
    assert check(guard, 15.0) is Filling.SOUND
    guard.heard(15.2, filling=True)
    assert check(guard, 16.8) is Filling.SENTENCE, "it was some time ago"


def test_nobody_waits_while_the_caller_speaks_or_when_it_is_their_turn(guard: SilenceGuard) -> None:
    assert check(guard, 20, waits=False) is Filling.NOTHING
    assert guard.due(ready=False) is None
    guard.caller_began(21)
    assert check(guard, 30) is Filling.NOTHING


def test_a_model_that_is_asked_out_of_turn_has_its_own_time(guard: SilenceGuard) -> None:
    check(guard, 20, waits=False)
    guard.asked(100)
    assert check(guard, 101.4) is Filling.NOTHING
    assert check(guard, 101.5) is Filling.SENTENCE


def test_a_tool_of_an_earlier_turn_is_not_waited_for(guard: SilenceGuard) -> None:
    guard.tool_started("a", 10)
    guard.turn_over(20)
    assert not guard.tools_running


def test_a_greeting_has_its_time_from_the_answer_on() -> None:
    guard = SilenceGuard(answer_s=1.5, tool_s=1.2)
    guard.call_began(1000)
    assert check(guard, 1000.5, ready=True) is Filling.NOTHING
    assert check(guard, 1000 + SOUND_S, ready=True) is Filling.SOUND


def test_of_words_that_are_written_down_late_the_tool_they_asked_for_is_waited_for(
    guard: SilenceGuard,
) -> None:
    guard.tool_started("before", 11)
    guard.tool_started("behind", 20)
    guard.heard(20, filling=True)
    assert check(guard, 21.2) is Filling.SENTENCE
    guard.heard(22, filling=True)
    guard.turn_over(22.1, stopped_at=20)
    guard.tool_ended("behind")
    assert not guard.tools_running, "nobody waits for the one of the turn before"
    assert check(guard, 23.5) is Filling.NOTHING, "the sentence was said"
