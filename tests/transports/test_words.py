"""Which words were heard: in proportion to the audio, and by the TTS's own word times."""

from __future__ import annotations

import pytest

from piopiy_pipeline.transports.word_clock import WordClock
from piopiy_pipeline.transports.words import SpokenSentence, heard_words

S = 1_000_000_000


@pytest.mark.parametrize(
    ("fraction", "heard"),
    [(0.0, ""), (0.2, "one"), (0.5, "one two"), (0.99, "one two three"), (1.0, "one two three four")],
)
def test_words_count_once_their_letters_are_over(fraction: float, heard: str) -> None:
    assert heard_words("one two three four", fraction) == heard


def test_a_sentence_still_being_made_is_not_overrated() -> None:
    """Half a second of a long sentence is there and was heard: at a usual pace that is two words."""
    sentence = SpokenSentence(None, "one two three four five six seven eight nine ten", 0, 8000)
    assert sentence.heard(4000, queued=4000) == "one two"


def test_a_sentence_heard_to_its_end_is_heard_in_full() -> None:
    sentence = SpokenSentence(None, "good morning", 100, 8000)
    sentence.end = 900
    assert sentence.heard(100, 900) == ""
    assert sentence.heard(900, 900) == "good morning"


def test_a_word_lies_as_far_into_the_audio_as_its_time_is_from_the_contexts_first_audio() -> None:
    clock = WordClock(8000)
    clock.audio("a", 1000, 5 * S)
    clock.audio("a", 3000, 6 * S)  # not the first: changes nothing
    assert clock.word("a", 5 * S) == 1001
    assert clock.word("a", int(5.5 * S)) == 5001


def test_the_next_context_counts_from_the_last_word_when_speech_runs_ahead_of_the_clock() -> None:
    clock = WordClock(8000)
    clock.audio("a", 0, 5 * S)
    clock.word("a", 9 * S)
    clock.ended("a")
    clock.audio("b", 40_000, int(5.1 * S))
    assert clock.word("b", 9 * S) == 40_001


def test_words_of_an_unknown_context_have_no_place() -> None:
    clock = WordClock(8000)
    clock.audio("a", 0, 0)
    clock.interrupted()
    assert clock.word("a", S) is None
