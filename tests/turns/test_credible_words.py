"""Which words of a short sound are believed, by what they are and how sure the recogniser is."""

from __future__ import annotations

import pytest

from piopiy_pipeline.turns.credible_words import HeardWords, doubt_of


def heard(text: str, *sure: float) -> HeardWords:
    return list(zip(text.split(), sure, strict=True))


@pytest.mark.parametrize(
    ("words", "voiced_s"),
    [
        (heard("And they came.", 0.92, 0.65, 0.42), 0.5),
        (heard("Amen, amen.", 0.28, 0.83), 0.9),
        (heard("Who made him?", 0.71, 1.0, 0.9), 0.7),
        (heard("And an etch an end.", 0.37, 0.66, 0.4, 0.43, 0.85), 0.9),
        (heard("And then, and then.", 0.5, 0.8, 0.5, 1.0), 1.4),
    ],
)
def test_a_hum_that_was_written_as_words_is_none(words: HeardWords, voiced_s: float) -> None:
    assert doubt_of(words, voiced_s, "en") is not None


@pytest.mark.parametrize("text", ["Bright.", "On course.", "Make sense."])
def test_what_is_spelled_nearly_like_a_listeners_words_has_to_be_sure(text: str) -> None:
    assert doubt_of([(word, 0.75) for word in text.split()], 0.5, "en") is not None
    assert doubt_of([(word, 0.95) for word in text.split()], 0.5, "en") is None


@pytest.mark.parametrize(
    ("words", "voiced_s"),
    [
        (heard("Hold on.", 0.14, 0.97), 0.45),
        (heard("No way.", 0.74, 0.2), 0.6),
        (heard("Hang on a falcon.", 0.7, 0.99, 0.85, 0.24), 1.0),
        (heard("And on a second.", 0.35, 0.73, 0.75, 0.59), 0.67),
        (heard("Please hop.", 0.81, 0.28), 0.7),
    ],
)
def test_who_asks_for_a_stop_is_believed_whatever_the_other_words(words: HeardWords, voiced_s: float) -> None:
    assert doubt_of(words, voiced_s, "en") is None


def test_a_stop_that_was_hardly_heard_is_none() -> None:
    assert doubt_of(heard("No guilty.", 0.16, 0.94), 0.64, "en") is not None


def test_one_misheard_word_of_a_sentence_does_not_make_it_nothing() -> None:
    words = heard("Let me talk to your manager.", 0.94, 1.0, 0.2, 0.91, 0.97, 0.83)
    assert doubt_of(words, 1.0, "en") is None


def test_the_longer_the_sound_the_less_sure_its_words_must_be() -> None:
    words = heard("Saturday, please.", 0.45, 0.9)
    doubts = [doubt_of(words, voiced_s, "en") for voiced_s in (0.35, 0.6, 0.8, 1.0, 1.5)]
    assert [doubt is None for doubt in doubts] == [False, False, True, True, True]


def test_no_words_are_no_doubt() -> None:
    assert doubt_of([], 0.5, "en") is None
    assert doubt_of([("...", 0.2)], 0.5, "en") is None
