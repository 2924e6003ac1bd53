"""When a turn is over, by silence, words, the question and the caller's own pauses. The time is given."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from piopiy_pipeline.turns.caller_pauses import CallerPauses
from piopiy_pipeline.turns.caller_words import WordsSoFar
from piopiy_pipeline.turns.expected_answer import ExpectedAnswer
from piopiy_pipeline.turns.turn_end_policy import HOLD_AT_MOST_S, RESUMED_S, TurnEndPolicy, TurnWaits
from piopiy_pipeline.turns.turn_words import LastWord


def spoken(
    text: str, *, expected: str = "open", policy: TurnEndPolicy | None = None, at: float = 10.0
) -> TurnEndPolicy:
    """Return a policy whose caller has said a text. The last sound was at `at`, and the VAD has told so 0.2 s later."""
    policy = policy or TurnEndPolicy()
    policy.expected = ExpectedAnswer.of(expected)
    policy.speech(at - 1.0, since_s=0.1)
    policy.turn_begins()
    policy.silence(at + 0.2, since_s=0.2)
    if text:
        policy.final(at + 0.21, text, finalized=True)
    return policy


@pytest.mark.parametrize(
    ("text", "expected", "wait_s"),
    [
        ("I would like a table.", "open", 0.55),
        ("I would like a table with a", "open", 1.2),
        ("The meeting is on Monday and", "open", 1.2),
        ("Yes, please.", "yes_no", 0.2),
        ("Yes.", "yes_no", 0.35),
        ("Yes,", "yes_no", 0.9),
        ("I know,", "open", 0.9),
        ("Good morning.", "open", 0.9),
        ("Good morning.", "number", 0.55),
        ("Good morning, this is Mary Miller.", "open", 0.55),
        ("Yes.", "open", 0.55),
        ("Yes, but", "yes_no", 1.2),
        ("Yes, on Friday.", "yes_no", 0.55),
        ("four one five", "digits:6", 1.2),
        ("four one five nine two six", "digits:6", 0.2),
        ("415 555", "digits", 1.2),
        ("415 555 0100", "digits", 0.55),
        ("415 555 01", "digits", 1.0),
        ("For four people.", "number", 0.2),
        ("Two adults and", "number", 1.2),
        ("Twenty.", "number", 0.55),
        (f"I would like {'very ' * 15}much.", "open", 0.8),
        ("12 Station Road.", "dictation", 1.0),
    ],
)
def test_the_words_and_the_question_say_how_long_to_wait(text: str, expected: str, wait_s: float) -> None:
    policy = spoken(text, expected=expected)
    assert policy.due() == pytest.approx(10.0 + wait_s)
    assert policy.decide(10.0 + wait_s - 0.01) is None
    end = policy.decide(10.0 + max(wait_s, 0.21))
    assert end is not None
    assert end.wait_s == wait_s


def test_a_turn_without_words_does_not_end_before_they_come() -> None:
    policy = spoken("")
    assert policy.due() is None
    assert policy.decide(12.0) is None
    policy.final(12.5, "A table.", finalized=True)
    end = policy.decide(12.5)
    assert end is not None
    assert (end.wait_s, end.silence_s) == (0.55, 2.5)


def test_words_that_may_not_be_the_last_are_waited_for_as_long_as_the_stt_takes() -> None:
    policy = TurnEndPolicy()
    policy.stt_s = 1.0
    policy.expected = ExpectedAnswer.of("yes_no")
    policy.turn_begins()
    policy.speech(9.0)
    policy.silence(10.2, since_s=0.2)
    policy.final(10.3, "Yes.", finalized=False)
    assert policy.due() == pytest.approx(11.0)
    policy.final(10.4, "", finalized=True)
    assert policy.decide(10.4) is not None


def test_a_caller_who_goes_on_is_waited_for_again_and_old_words_do_not_decide() -> None:
    policy = spoken("Yes, please.", expected="yes_no")
    policy.speech(10.2, since_s=0.1)
    assert policy.due() is None
    assert policy.words_so_far() is WordsSoFar.UNKNOWN
    policy.silence(12.2, since_s=0.2)
    policy.final(12.3, "But on Friday.", finalized=True)
    assert policy.due() == pytest.approx(12.55)


def test_a_sound_puts_the_decision_off_but_not_for_ever() -> None:
    policy = spoken("I would like a table.")
    now = 10.55
    while (end := policy.decide(now, sounding=True)) is None:
        due = policy.due()
        assert due is not None
        assert now < due < now + 0.1
        now = due
    assert now == pytest.approx(10.55 + HOLD_AT_MOST_S, abs=0.04)
    assert "for a sound" in end.reason
    policy = spoken("I would like a table.")
    assert policy.decide(10.6, sounding=True) is None
    assert policy.decide(10.65, sounding=False) is not None


def test_two_long_pauses_of_a_caller_make_the_bot_wait_longer_and_one_does_not() -> None:
    policy = spoken("I would like")
    policy.speech(10.9, since_s=0.1)  # 0.8 s
    policy.turn_ends(12.0)
    assert spoken("a table.", policy=policy, at=20.0).due() == pytest.approx(20.55)
    policy.speech(20.9, since_s=0.1)
    policy.silence(22.2, since_s=0.2)
    policy.final(22.2, "for four.", finalized=True)
    assert policy.due() == pytest.approx(23.0)
    end = policy.decide(23.0)
    assert end is not None
    assert end.learnt
    assert "this caller pauses longer" in end.reason


def test_what_was_learnt_goes_to_another_instance() -> None:
    pauses = CallerPauses()
    for pause_s in (0.8, 0.0, 0.9):
        pauses.add(pause_s)
        pauses.turn_over()
    again = CallerPauses(pauses.longest_s)
    assert again.longest_s == [0.8, 0.0, 0.9]
    assert again.wait_s == pauses.wait_s == pytest.approx(1.0)


def test_a_turn_that_was_ended_too_early_teaches_at_once() -> None:
    policy = spoken("I would like a table.")
    policy.turn_ends(10.6)
    policy.speech(10.6 + RESUMED_S / 2, since_s=0.1)
    assert policy.pauses.wait_s > 1.0
    policy = spoken("I would like a table.")
    policy.turn_ends(10.6)
    policy.speech(13.0, since_s=0.1)  # an answer to what the bot has said meanwhile
    assert policy.pauses.wait_s == 0.0


def test_words_that_the_vad_has_missed_end_a_turn_too() -> None:
    policy = TurnEndPolicy()
    policy.turn_begins()
    policy.final(5.0, "A table.", finalized=False)
    assert policy.due() == pytest.approx(5.55)


def test_german_and_a_language_without_lists() -> None:
    german = TurnEndPolicy(language="de-DE")
    assert spoken("Ich möchte einen Tisch für", policy=german).due() == pytest.approx(11.2)
    german = TurnEndPolicy(language="de")
    assert spoken("Ja, genau.", expected="yes_no", policy=german).due() == pytest.approx(10.2)
    other = TurnEndPolicy(language="fi")
    assert spoken("a table with a", policy=other).due() == pytest.approx(10.55)


def test_an_author_says_how_long() -> None:
    assert TurnWaits.of(0.8).answered == TurnWaits.of(0.8).open == 0.8
    assert TurnWaits.of("fast").neutral < TurnWaits.of("smart").neutral
    for wrong in ("quick", -1, 0, 60, True, float("nan")):
        with pytest.raises(ValueError, match="'smart', 'fast', seconds"):
            TurnWaits.of(wrong)  # type: ignore[arg-type]  # what a user may write
    with pytest.raises(ValueError, match="neutral"):
        TurnWaits(neutral=9)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("answered", "Yes, please.", "yes_no"),
        ("bare", "Yes.", "yes_no"),
        ("neutral", "I would like a table.", "open"),
        ("long", f"I would like {'very ' * 15}much.", "open"),
        ("open", "I would like a table with a", "open"),
        ("dictating", "12 Station Road.", "dictation"),
    ],
)
def test_each_wait_is_an_authors_to_set(name: str, text: str, expected: str) -> None:
    waits = TurnWaits(**{name: 1.7})  # type: ignore[arg-type]  # all but `learns` are numbers
    assert spoken(text, expected=expected, policy=TurnEndPolicy(waits)).due() == pytest.approx(11.7)


def test_an_author_may_keep_the_wait_from_growing_with_the_callers_pauses() -> None:
    def due(waits: TurnWaits) -> float | None:
        pauses = CallerPauses([0.8] * 6)
        return spoken("I would like a table.", policy=TurnEndPolicy(waits, pauses=pauses)).due()

    learnt, fixed = due(TurnWaits()), due(TurnWaits(learns=False))
    assert fixed == pytest.approx(10.55)
    assert learnt is not None
    assert learnt > 10.55


@pytest.mark.parametrize(
    ("text", "probability", "wait_s"),
    [
        ("I would like a table.", 0.95, 0.4),
        ("I would like a table.", 0.85, 0.55),
        ("I would like a table.", 0.01, 0.55),
        ("I would like a table with a", 0.95, 1.2),
    ],
)
def test_how_it_sounds_counts_where_the_words_tell_nothing(
    text: str, probability: float, wait_s: float
) -> None:
    policy = spoken(text)
    policy.sounds_finished(probability)
    assert policy.due() == pytest.approx(10.0 + wait_s)


def test_how_it_sounded_is_forgotten_when_the_caller_goes_on() -> None:
    policy = spoken("I would like a table.")
    policy.sounds_finished(0.95)
    policy.speech(10.3, since_s=0.1)
    policy.silence(11.0, since_s=0.2)
    policy.final(11.0, "For four people.", finalized=True)
    assert policy.due() == pytest.approx(10.8 + 0.55)


@pytest.mark.parametrize(
    ("last", "expected", "wait_s"),
    [
        (LastWord(confidence=0.3), "open", 0.9),
        (LastWord(confidence=0.7), "open", 0.55),
        (LastWord(comma=True), "open", 0.9),
        (LastWord(comma=True), "dictation", 1.0),
        (LastWord(confidence=0.3), "yes_no", 0.9),
        (LastWord(confidence=0.9), "yes_no", 0.35),
    ],
)
def test_what_the_recogniser_knows_of_the_last_word_counts(
    last: LastWord, expected: str, wait_s: float
) -> None:
    policy = spoken("", expected=expected)
    policy.final(10.21, "Yes.", finalized=True, last=last)
    assert policy.due() == pytest.approx(10.0 + wait_s)


@pytest.mark.parametrize(
    ("result", "last"),
    [
        (None, LastWord()),
        (object(), LastWord()),
        ({"words": []}, LastWord()),
        ({"words": [("a", 0.9), ("table", 0.4)], "comma": True}, LastWord(comma=True, confidence=0.4)),
        ({"words": ["table"]}, LastWord()),
        ({"words": [{"word": "table"}]}, LastWord()),
        ({"words": [("table", 7)], "comma": "yes"}, LastWord()),
    ],
)
def test_the_result_of_a_transcript_is_read_where_it_tells_something(result: Any, last: LastWord) -> None:
    assert LastWord.of(result) == last


@pytest.mark.parametrize(("waits", "wait_s"), [("smart", 0.7), ("fast", 0.55), (0.8, 0.8)])
def test_with_voices_behind_the_caller_more_time_is_given(
    waits: Literal["smart", "fast"] | float, wait_s: float
) -> None:
    policy = TurnEndPolicy(TurnWaits.of(waits))
    policy.turn_begins()
    policy.silence(10.2, since_s=0.2, crowded=True)
    policy.final(10.21, "I would like a table.", finalized=True)
    assert policy.due() == pytest.approx(10.0 + wait_s)


def test_a_turn_is_not_over_by_words_whose_final_is_under_way() -> None:
    policy = spoken("Yes,", expected="yes_no")
    policy.interim(10.3, "please.")
    assert policy.words_so_far() is WordsSoFar.ANSWERED
    assert policy.decide(11.5) is None
    policy.final(11.6, "please.", finalized=False)
    end = policy.decide(11.6)
    assert end is not None
    assert end.words is WordsSoFar.ANSWERED


def test_interim_words_whose_final_never_comes_hold_a_turn_up_for_two_seconds() -> None:
    policy = spoken("Yes,", expected="yes_no")
    policy.interim(10.3, "please.")
    assert policy.due() == pytest.approx(12.4)
    policy.interim(10.4, "")
    assert policy.due() == pytest.approx(10.9), "they were withdrawn"
