"""What words say about the end of a turn."""

from __future__ import annotations

import pytest

from piopiy_pipeline.turns.caller_words import digits_in, ends_open, is_closed_answer, is_number, words_of


@pytest.mark.parametrize(
    ("text", "language", "digits"),
    [
        ("four one five", "en", 3),
        ("twenty five", "en", 2),
        ("double seven", "en", 2),
        ("triple 0, oh 4", "en", 5),
        ("My number is 415-555.", "en", 6),
        ("nineteen eighty four", "en", 4),
        ("hello", "en", 0),
        ("fünfundzwanzig eins", "de", 3),
        ("zwo null vier", "de", 3),
        ("12 34", "fi", 4),
    ],
)
def test_digits_are_counted(text: str, language: str, digits: int) -> None:
    assert digits_in(text, language) == digits


def test_an_answer_is_closed_if_all_of_it_says_yes_or_no() -> None:
    for text in (
        "Yes.",
        "Um, yes.",
        "Yes, yes.",
        "Yes. Yes, please.",
        "No, thank you.",
        "That’s right.",
        "Not yet.",
    ):
        assert is_closed_answer(text, "en"), text
    for text in ("Yes, on Friday.", "No, make it five.", "Four.", "", "Yes and"):
        assert not is_closed_answer(text, "en"), text
    assert is_closed_answer("Ja, genau.", "de")
    assert not is_closed_answer("Yes.", "de")


def test_a_sentence_is_open_after_a_word_that_another_has_to_follow() -> None:
    for text in (
        "a table with a",
        "on Monday and",
        "Um...",
        "it is for",
        "I'd like the",
        "my name is",
        "well -",
    ):
        assert ends_open(text, "en"), text
    for text in ("a table", "on Monday.", "Four people, please.", ""):
        assert not ends_open(text, "en"), text
    assert ends_open("Ich möchte einen Tisch für", "de")


def test_a_whole_number_is_no_beginning_of_one() -> None:
    assert is_number("For four people.", "en")
    assert is_number("25", "en")
    assert not is_number("Twenty", "en")
    assert not is_number("two hundred", "en")
    assert not is_number("the four of us would like to come at", "en")


def test_a_sign_that_belongs_to_a_letter_is_in_its_word() -> None:
    assert words_of("जी नहीं, धन्यवाद।") == ["जी", "नहीं", "धन्यवाद"]
    assert words_of("வணக்கம் ஐயா") == ["வணக்கம்", "ஐயா"]
    assert words_of("pre\u0301fe\u0301re\u0301") == ["préféré"]
