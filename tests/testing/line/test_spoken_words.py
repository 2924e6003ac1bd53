"""Which words were spoken by when."""

from __future__ import annotations

from piopiy_pipeline.testing.line.spoken_words import SpokenWords


def test_words_are_laid_out_over_the_recording_by_their_letters() -> None:
    words = SpokenWords()
    words.add(1.0, 3.0, "a table for four")
    assert words(0.0, 5.0) == "a table for four"
    assert words(0.0, 2.0) == "a table"
    assert words(2.0, 5.0) == "for four"


def test_two_stretches_side_by_side_share_no_word_and_lose_none() -> None:
    words = SpokenWords()
    sentence = "one two three four five six"
    words.add(0.0, 2.0, sentence)
    for cut in (0.3, 0.7, 1.1, 1.6):
        assert f"{words(0.0, cut)} {words(cut, 3.0)}" == sentence


def test_a_caller_who_stops_in_mid_sentence_does_not_say_the_rest() -> None:
    words = SpokenWords()
    words.add(0.0, 2.0, "never mind that please")
    words.cut(1.0)
    assert words(0.0, 5.0) == "never mind"


def test_what_was_said_long_ago_is_forgotten() -> None:
    words = SpokenWords()
    words.add(0.0, 1.0, "hello")
    words.add(500.0, 501.0, "goodbye")
    assert words(0.0, 600.0) == "goodbye"


def test_what_was_said_while_nothing_was_sent_is_not_among_them() -> None:
    words = SpokenWords()
    words.add(0.0, 2.0, "a table for four")
    for n in range(50, 75):
        words.skip(n * 0.02, (n + 1) * 0.02)
    assert words(0.0, 3.0) == "a table four"
