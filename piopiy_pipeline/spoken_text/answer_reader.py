"""Reads the sentences of one answer after the other: markup out, everything else written out, places kept."""

from __future__ import annotations

import re
from collections.abc import Iterator

from piopiy_pipeline.spoken_text.alignment import Span, SpokenForm, apply, compose
from piopiy_pipeline.spoken_text.markup import Markup, speech_tags
from piopiy_pipeline.spoken_text.recognizer import Recognizer

__all__ = ["AnswerReader"]

MAX_CHARACTERS = 2000
"""A longer text is read in pieces, so that the work grows with its length and not faster."""
_BLANKS = re.compile(r"^[ \t]+|[ \t]{2,}|[ \t]+(?=[,.;:!?](?:\s|$))")


class AnswerReader:
    """Reads one answer, a sentence at a time."""

    def __init__(self) -> None:
        self._markup = Markup()

    def begin(self) -> None:
        """Note that another answer begins."""
        self._markup.begin()

    def read(self, text: str, recognizer: Recognizer) -> SpokenForm:
        """Return how the next sentence of the answer is said.

        Args:
            text: The sentence, or more of the answer.
            recognizer: Reads the language of the answer.
        """
        spans: list[Span] = []
        for start, piece in _pieces(text):
            spans += (Span(s.start + start, s.end + start, s.spoken) for s in self._read(piece, recognizer))
        return SpokenForm(text, apply(text, spans), tuple(spans))

    def _read(self, text: str, recognizer: Recognizer) -> tuple[Span, ...]:
        spans: tuple[Span, ...] = tuple(self._markup.spans(text))
        plain = apply(text, spans) if spans else text
        spans = compose(spans, recognizer.spans(plain, speech_tags(plain)), plain)
        said = apply(text, spans)
        return compose(spans, _blanks(said), said) if spans else spans


def _blanks(said: str) -> list[Span]:
    """Return the blanks that are left over where something was left out."""
    spans = []
    for match in _BLANKS.finditer(said):
        between = match.start() > 0 and said[match.end() :][:1] not in ("", *",.;:!?")
        spans.append(Span(*match.span(), " " if between else ""))
    return spans


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield a text in pieces of bounded length, with where each begins."""
    at = 0
    while len(text) - at > MAX_CHARACTERS:
        end = text.rfind("\n", at + MAX_CHARACTERS // 2, at + MAX_CHARACTERS)
        end = end if end > 0 else text.rfind(" ", at + MAX_CHARACTERS // 2, at + MAX_CHARACTERS)
        end = end + 1 if end > 0 else at + MAX_CHARACTERS
        yield at, text[at:end]
        at = end
    yield at, text[at:]
