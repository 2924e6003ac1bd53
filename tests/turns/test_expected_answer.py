"""What the bot has asked, read from its own words and its tools, or said by its author."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.turns.expected_answer import ExpectedAnswer, expected_answer


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Is that right?", "yes_no"),
        ("A table for four on Friday at seven. Is that correct?", "yes_no"),
        ("Would you like anything else?", "yes_no"),
        ("Would you like coffee or tea?", "open"),
        ("How can I help you today?", "open"),
        ("Could you tell me your name?", "open"),
        ("Can I help you with anything else?", "open"),
        ("How many people?", "number"),
        ("Please say your six-digit code.", "digits:6"),
        ("What are the last four digits of your card?", "digits:4"),
        ("May I have your phone number, please?", "digits"),
        ("And what is your address?", "dictation"),
        ("Can you spell your last name?", "dictation"),
        ("Your phone number is saved.", "open"),
        ("I am not sure.", "open"),
        ("", "open"),
    ],
)
def test_english(said: str, expected: str) -> None:
    assert str(expected_answer(said, "en-US")) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Stimmt das?", "yes_no"),
        ("Möchten Sie noch etwas?", "yes_no"),
        ("Möchten Sie Kaffee oder Tee?", "open"),
        ("Bitte nennen Sie Ihre sechsstellige Kundennummer.", "digits:6"),
        ("Wie lautet Ihre Telefonnummer?", "digits"),
        ("Wie viele Personen?", "number"),
        ("Können Sie mir Ihre Adresse sagen?", "dictation"),
    ],
)
def test_german(said: str, expected: str) -> None:
    assert str(expected_answer(said, "de")) == expected


def test_a_tool_says_how_many_digits_there_are() -> None:
    schema: dict[str, Any] = {"type": "string", "pattern": r"^\d{8}$"}
    found = expected_answer("What is your order number?", "en", [("order_number", schema)])
    assert found == ExpectedAnswer.of("digits:8")
    assert str(expected_answer("What is your name?", "en", [("order_number", schema)])) == "open"


def test_a_language_without_patterns_is_open() -> None:
    assert str(expected_answer("Onko se oikein?", "fi")) == "open"


@pytest.mark.parametrize("wrong", ["maybe", "digits:x", "digits:0", "yes_no:3", ""])
def test_an_author_who_says_something_else_is_told_what_there_is(wrong: str) -> None:
    with pytest.raises(ValueError, match="an expected answer"):
        ExpectedAnswer.of(wrong)
