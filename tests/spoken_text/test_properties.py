"""What holds for any text: it ends, no mark of markdown is left, and each part of it has its place."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.spoken_text.alignment import Span, SpokenForm, apply, compose
from piopiy_pipeline.spoken_text.answer_reader import MAX_CHARACTERS, AnswerReader
from piopiy_pipeline.spoken_text.recognizer import Recognizer

READERS = {language: Recognizer(language, {"Ann": "Anne"}) for language in ("en", "en-GB", "de", "fr")}
PIECES = [
    "$4.50", "12,50 €", "**", "*", "_", "`", "```", "~~", "# ", "- ", "1. ", "> ", "|", "[a](b)", "](",
    "&amp;", "<b>", "</b>", "<break/>", "3-5 pm", "19:30", "29.11.2026", "Nov 29", "Dr. ", "e.g.",
    "v2.10.1", "AB12-CD34", "+1 555 010-9999", "bob@x.com", "https://x.com/a", "50%", "1/2", "½", "#5",
    "24/7", "😊", "©", "5 km", "-5", "DE89370400440532013000", "IV", "Henry VIII", "\n", "\n\n", " ", "  ",
    ".", ",", ":", "(", ")", "\"", "'", "\u00a0", "Ann", "word", "ß", "日本", "٣", "²", "00", "9" * 30,
]  # fmt: skip
TEXTS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=25).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=20).map(" ".join),
    st.text(max_size=200),
)
WORDS = st.lists(st.from_regex(r"[a-z]{3,9}", fullmatch=True), min_size=1, max_size=20).map(" ".join)


def read(text: str, language: str = "en") -> SpokenForm:
    return AnswerReader().read(text, READERS[language])


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from(sorted(READERS)))
def test_the_parts_of_a_text_are_in_order_and_cover_it(text: str, language: str) -> None:
    form = read(text, language)
    assert all(0 <= span.start < span.end <= len(text) for span in form.spans)
    assert all(a.end <= b.start for a, b in pairwise(form.spans))
    for parts in (form.parts(), form.word_parts()):
        assert "".join(written for written, _ in parts) == text
        assert "".join(spoken for _, spoken in parts) == form.spoken


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.sampled_from(["en", "en-GB", "de"]))
@example("~~12,50 €```~~", "en")
@example("~~[a](b)```~~", "en")
def test_no_mark_of_markdown_is_left(text: str, language: str) -> None:
    said = re.sub(r"<[^<>]*>|<<[^<>]*>>", "", read(text, language).spoken)  # what belongs to the TTS
    assert not re.search(r"[*_#|`~]|\]\(", said)


@settings(max_examples=150, deadline=None)
@given(TEXTS.filter(str.isascii), st.sampled_from(["en", "en-GB", "de"]))
def test_no_digit_is_left_for_a_voice_to_guess(text: str, language: str) -> None:
    said = re.sub(r"<[^<>]*>|<<[^<>]*>>", "", read(text, language).spoken)
    assert not re.search(r"[0-9]", said)


@settings(max_examples=200, deadline=None)
@given(WORDS)
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert read(text).spoken == text
    assert read(text).spans == ()


@pytest.mark.parametrize(
    "piece", [*PIECES, "*a", "[", "a.", "1-", "1,", "(1", "A1-", "<a", "&#", "1.1.", "a@", "~", "+1 "]
)
def test_a_long_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    text = piece * (6_000 // len(piece))
    started = time.process_time()
    form = read(text)
    assert time.process_time() - started < 2.0  # of CPU; a tenth of that here
    assert len(form.spoken) < 100 * len(text)


@pytest.mark.parametrize("language", sorted(READERS))
@pytest.mark.parametrize(
    "text",
    [
        "9" * 40 + " km",
        "0." + "3" * 60 + " km",
        "$" + "9" * 40,
        "$1." + "2" * 60,
        "1e400 °C",
        "12:99",
        "99.99.9999",
        "9" * 9 + "th",
    ],
)
def test_numbers_out_of_all_bounds_are_said_as_well(text: str, language: str) -> None:
    assert read(text, language).spoken


def test_a_piece_of_a_long_text_ends_between_words() -> None:
    text = "the price is $4.50 and " * 200
    assert len(text) > 2 * MAX_CHARACTERS
    assert read(text).spoken == "the price is four dollars and fifty cents and " * 200


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_two_passes_can_be_done_at_once(data: st.DataObject) -> None:
    text = data.draw(st.text("ab ", min_size=1, max_size=20))
    first = _spans(data, len(text))
    between = apply(text, first)
    second = _spans(data, len(between)) if between else []
    together = compose(first, second, between)
    assert apply(text, together) == apply(between, second)


def _spans(data: st.DataObject, length: int) -> list[Span]:
    edges = sorted(data.draw(st.sets(st.integers(0, length), max_size=6)))
    said = st.text("xy ", max_size=3)
    pairs = list(pairwise(edges))
    return [Span(start, end, data.draw(said)) for start, end in pairs[::2]]
