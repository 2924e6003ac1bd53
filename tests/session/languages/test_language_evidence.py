"""What counts as evidence for another language, and what does not."""

from __future__ import annotations

import pytest

from piopiy_pipeline.session.languages.language_evidence import LanguageEvidence, LanguageGuess, word_count
from piopiy_pipeline.session.languages.spoken_language import SpokenLanguage, name_of, spoken_languages

GERMAN = LanguageGuess("de", 0.99)
ENGLISH = LanguageGuess("en", 0.99)


def evidence() -> LanguageEvidence:
    return LanguageEvidence(("en", "de", "fr"), "en")


def turn(
    known: LanguageEvidence, words: int, guess: LanguageGuess | None, reported: str | None = None
) -> str | None:
    found = known.heard(words, reported=reported, guess=guess)
    known.turn_over()
    return found


def test_a_foreign_word_is_no_language_and_a_sentence_is() -> None:
    known = evidence()
    for _ in range(10):
        assert turn(known, 1, GERMAN) is None
    assert turn(known, 6, GERMAN) == "de"


def test_two_short_turns_are_enough_and_one_in_between_takes_them_back() -> None:
    known = evidence()
    assert turn(known, 3, GERMAN) is None
    assert turn(known, 3, GERMAN) == "de"
    known = evidence()
    assert turn(known, 3, GERMAN) is None
    assert turn(known, 3, ENGLISH) is None
    assert turn(known, 3, GERMAN) is None


def test_what_is_not_clear_does_not_count() -> None:
    known = evidence()
    for _ in range(10):
        assert turn(known, 8, LanguageGuess("de", 0.6)) is None
    assert turn(known, 8, None) is None
    assert turn(known, 8, LanguageGuess("it", 0.99)) is None, "a language that the bot does not speak"


def test_a_menu_or_a_name_in_another_language_is_not_enough_by_itself() -> None:
    known, likely = evidence(), LanguageGuess("fr", 0.91)
    assert turn(known, 8, likely) is None
    assert turn(known, 8, ENGLISH) is None
    assert turn(known, 8, likely) is None
    assert turn(known, 8, likely) == "fr"


def test_an_stt_that_detects_languages_counts_more_than_the_words() -> None:
    known = evidence()
    assert turn(known, 5, ENGLISH, reported="de") == "de"
    known.changed("de")
    assert turn(known, 5, GERMAN, reported="de") is None
    assert turn(known, 5, GERMAN, reported="en") == "en"


def test_an_stt_that_reports_what_it_was_told_to_hear_says_nothing() -> None:
    assert turn(evidence(), 6, GERMAN, reported="en") == "de"


def test_parts_of_one_turn_are_not_counted_twice() -> None:
    known = evidence()
    for words in (1, 2, 3):
        assert known.heard(words, reported=None, guess=GERMAN) is None
    known.turn_over()
    assert turn(known, 1, GERMAN) is None


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"en": None}, "with one language"),
        ({"en": None, "xx": None}, "there is no language 'xx'"),
        ({"en": None, "en-GB": None}, "'en' is there twice"),
        ({"en": None, "de": "hallo"}, "a SpokenLanguage, or None"),
        ("en, de", "a mapping"),
    ],
)
def test_what_cannot_work_is_one_sentence(given: object, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says):
        spoken_languages(given)  # type: ignore[arg-type]


def test_languages_have_names_for_the_model() -> None:
    assert name_of("de-AT") == "German"
    assert name_of("eo") == "eo"
    assert list(spoken_languages({"en-US": None, "de": SpokenLanguage(says="Hallo")})) == ["en-US", "de"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Good day, a table please", 5),
        ("我想订一张四个人的桌子", 6),
        ("我想订一张 四个人的桌子。", 5),
        ("明日の夜、四人で予約したいのですが", 8),
        ("ต้องการจองโต๊ะสำหรับสี่คน", 6),
        ("你好", 1),
        ("Room 12", 2),
        ("- …", 0),
        ("", 0),
    ],
)
def test_words_are_counted_where_no_spaces_are_written(text: str, words: int) -> None:
    assert word_count(text) == words
