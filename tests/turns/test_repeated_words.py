"""Words that a recogniser sends again, and words that the caller says again."""

from __future__ import annotations

import pytest

from piopiy_pipeline.turns.repeated_words import RepeatedWords

MENU = "Tell me about the menu please."


def after(
    text: str, *, at: float = 2.0, speeches: tuple[tuple[float, float], ...] = ((0.0, 1.5),)
) -> RepeatedWords:
    """Return what has heard these speeches, and then a final transcript of them."""
    words = RepeatedWords()
    for begin, end in speeches:
        words.speech_began(begin)
        words.speech_ended(end)
    assert not words.final(text, at)
    return words


@pytest.mark.parametrize("gap_s", [0.0, 0.3, 2.0])
def test_the_same_words_without_a_sound_since_are_repeated(gap_s: float) -> None:
    words = after(MENU)
    assert words.final(MENU.lower(), 2.0 + gap_s)
    assert words.final(MENU, 2.0 + 2 * gap_s), "and a third time"


def test_the_same_words_after_a_sound_are_the_callers() -> None:
    words = after("No.", speeches=((0.0, 0.4),))
    words.speech_began(2.2)
    assert not words.final("No.", 2.4), "while it is heard"
    words.speech_ended(2.5)
    assert not words.final("No.", 2.9)
    assert words.final("No.", 3.0)


def test_a_late_recogniser_may_have_heard_the_same_twice_already() -> None:
    words = after("No.", at=1.5, speeches=((0.0, 0.3), (0.7, 1.0)))
    assert not words.final("No.", 1.8), "each of two speeches"
    assert words.final("No.", 1.9)
    words = after("five", at=1.5, speeches=((0.0, 1.2),))
    assert not words.final("five", 1.6), "one speech that is long enough for both"
    assert words.final("five", 1.7)


def test_a_second_part_leaves_no_room_for_the_first_one_twice() -> None:
    words = after(MENU, at=3.0, speeches=((0.0, 1.5), (2.0, 2.8)))
    assert words.final(MENU, 3.1)
    assert not words.final("And the wine.", 3.3)


def test_a_sound_too_short_for_the_words_does_not_say_them_again() -> None:
    words = after(MENU)
    words.speech_began(2.3)
    assert words.final(MENU, 2.8)
    assert not words.final(MENU, 3.4)


def test_other_words_and_later_ones_are_the_callers() -> None:
    words = after(MENU)
    assert not words.final("And the wine.", 2.1)
    assert not words.final("And the wine.", 6.0), "the VAD may have missed it"
    assert not words.final("", 6.1)


def test_without_a_vad_nothing_is_known() -> None:
    words = RepeatedWords()
    assert not words.final("No.", 1.0)
    assert not words.final("No.", 1.5)


@pytest.mark.parametrize("late", [MENU, "Tell me about", "tell me about the men", "the menu please"])
def test_an_interim_behind_its_final_is_no_new_one(late: str) -> None:
    assert after(MENU).interim(late, 2.3)


def test_an_interim_of_other_words_or_of_another_sound_is_the_callers() -> None:
    words = after("Yes,", speeches=((0.0, 0.9),))
    assert not words.interim("please", 2.1)
    words = after(MENU)
    words.speech_began(2.5)
    assert not words.interim("Tell me", 3.0)
    assert not RepeatedWords().interim("Tell me", 3.0)
