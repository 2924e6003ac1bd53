"""Text from outside, made safe to pass on."""

from __future__ import annotations

import json
import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.text import counted, printable_line, sentence_ends, well_formed, well_formed_json

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
ANY_TEXT = st.text(
    st.characters() | st.characters(categories=["Cs"]) | st.sampled_from("\ud83d\ude00\n\x1b\u2028")
)


@settings(max_examples=CASES, deadline=None)
@given(ANY_TEXT)
def test_any_text_can_be_encoded_once_it_is_well_formed(text: str) -> None:
    formed = well_formed(text)
    formed.encode()
    assert well_formed(formed) == formed
    if not any(unicodedata.category(character) == "Cs" for character in text):
        assert formed is text


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("\ud83d", "\ufffd"),
        ("b\ude00", "b\ufffd"),
        ("a\ud83db", "a\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("grün 😀", "grün 😀"),
    ],
)
def test_halves_that_belong_together_are_one_character(text: str, formed: str) -> None:
    assert well_formed(text) == formed


@settings(max_examples=CASES, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | ANY_TEXT,
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    )
)
def test_any_json_can_be_encoded_once_it_is_well_formed(value: object) -> None:
    text = json.dumps(well_formed_json(value), ensure_ascii=False)
    assert json.loads(text.encode()) == well_formed_json(value)


@settings(max_examples=CASES, deadline=None)
@given(ANY_TEXT)
def test_a_printable_line_is_one_line_and_controls_no_terminal(text: str) -> None:
    line = printable_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in line)
    if text.isprintable():
        assert line == text


def test_what_is_escaped_can_still_be_read() -> None:
    assert printable_line("a\r\nb\t\x1b[31m\u2028\udc80ü") == "a\\r\\nb\\t\\x1b[31m\\u2028\\udc80ü"


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("It is done.", 1),
        ('She said "now!" And', 1),
        ("At 7.30? Yes.", 2),
        ("はい。」そう。", 2),
        ("It is", 0),
        ("", 0),
    ],
)
def test_sentences_that_end_are_counted(text: str, ends: int) -> None:
    assert sentence_ends(text) == ends


def test_one_is_counted_in_the_singular() -> None:
    assert [counted(number, "call") for number in (0, 1, 2)] == ["0 calls", "1 call", "2 calls"]
    assert counted(2, "call was", "calls were") == "2 calls were"
