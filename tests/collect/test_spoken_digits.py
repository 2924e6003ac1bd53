"""Digits as callers say them, and corrections of them."""

from __future__ import annotations

import pytest

from piopiy_pipeline.collect.spoken_digits import corrected, read_digits


@pytest.mark.parametrize(
    ("text", "language", "digits"),
    [
        ("four one five", "en", "415"),
        ("it's oh four nine, double five", "en", "04955"),
        ("Oh, four five six.", "en", "456"),
        ("twenty three forty", "en", "2340"),
        ("twenty oh three", "en", "2003"),
        ("eight hundred five five five", "en", "800555"),
        ("triple seven", "en", "777"),
        ("five to for ate", "en", "5248"),
        ("nine thousand", "en", "9000"),
        ("555-0123", "en", "5550123"),
        ("five 5 five", "en", "555"),
        ("I would like to go for it", "en", ""),
        ("null eins sieben zwo dreiundzwanzig", "de", "017223"),
        ("doppel fünf", "de", "55"),
        ("ich habe eine Frage", "de", ""),
        ("zéro six vingt-trois", "fr", "0623"),
        ("", "en", ""),
    ],
)
def test_digits_are_read_as_they_are_said(text: str, language: str, digits: str) -> None:
    assert read_digits(text, language).digits == digits


@pytest.mark.parametrize(
    ("entry", "text", "language", "becomes"),
    [
        ("4115", "no, seven not eleven", "en", "475"),
        ("4156", "not six but seven", "en", "4157"),
        ("4156", "seven instead of six", "en", "4157"),
        ("4157", "the last digit is five", "en", "4155"),
        ("4157", "no the last two digits are four four", "en", "4144"),
        ("4157", "the last digits are nine nine", "en", "4199"),
        ("4157", "the second digit is a nine", "en", "4957"),
        ("4157", "the first two digits are one two", "en", "1257"),
        ("4157", "nein, sechs nicht sieben", "de", "4156"),
        ("4157", "die letzte Ziffer ist eine fünf", "de", "4155"),
        ("4157", "die letzten zwei Ziffern sind neun acht", "de", "4198"),
        ("4157", "die dritte Ziffer ist null", "de", "4107"),
        # not clear of which digit, or none
        ("4141", "five not four", "en", None),
        ("4157", "nine not eight", "en", None),
        ("4157", "the sixth digit is nine", "en", None),
        ("4157", "the last digit is one two", "en", None),
        ("4157", "four one five eight", "en", None),
    ],
)
def test_a_part_of_a_number_is_corrected(entry: str, text: str, language: str, becomes: str | None) -> None:
    assert corrected(entry, read_digits(text, language)) == becomes
