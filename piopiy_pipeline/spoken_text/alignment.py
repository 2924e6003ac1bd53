"""What is said for each part of a text: the written words, the spoken words, and how they belong together.

A text is read in two passes: marks that nobody says are taken out (`markup.py`), and then what is left is
written out (`recognizer.py`). Each pass gives spans of the text that it was given; `compose` puts both into spans
of what the model wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Span", "SpokenForm", "apply", "compose"]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text that is said otherwise than it is written.

    Attributes:
        start: The position of its first character in the text.
        end: The position after its last character.
        spoken: What is said instead. Empty: nothing.
    """

    start: int
    end: int
    spoken: str


@dataclass(frozen=True, slots=True)
class SpokenForm:
    """A text, and how it is said.

    Attributes:
        written: The text as it was written.
        spoken: The text to give to a TTS.
        spans: The parts of `written` that are said otherwise, in order, none inside another. Between them both
            texts are the same.
    """

    written: str
    spoken: str
    spans: tuple[Span, ...]

    def parts(self) -> list[tuple[str, str]]:
        """Return the text cut into pairs of what is written and what is said, in order. Joined, each side is
        whole."""
        parts: list[tuple[str, str]] = []
        at = 0
        for span in self.spans:
            if span.start > at:
                parts.append((self.written[at : span.start], self.written[at : span.start]))
            parts.append((self.written[span.start : span.end], span.spoken))
            at = span.end
        if at < len(self.written):
            parts.append((self.written[at:], self.written[at:]))
        return parts

    def word_parts(self) -> list[tuple[str, str]]:
        """Return the same, cut at blanks only: a word of which one letter is said otherwise is one part."""
        parts: list[tuple[str, str]] = []
        at = 0
        for start, end, spans in self._words():
            if start > at:
                parts.append((self.written[at:start], self.written[at:start]))
            said = apply(
                self.written[start:end], [Span(s.start - start, s.end - start, s.spoken) for s in spans]
            )
            parts.append((self.written[start:end], said))
            at = end
        if at < len(self.written):
            parts.append((self.written[at:], self.written[at:]))
        return parts

    def _words(self) -> Iterator[tuple[int, int, list[Span]]]:
        """Yield the spans grown to whole words, together where they share one: from, to, spans."""
        low, high, spans = 0, 0, list[Span]()
        for span in self.spans:
            start, end = span.start, span.end
            while start > high and not self.written[start - 1].isspace():
                start -= 1
            while end < len(self.written) and not self.written[end].isspace():
                end += 1
            if spans and start <= high:
                high = max(high, end)
                spans.append(span)
                continue
            if spans:
                yield low, high, spans
            low, high, spans = start, end, [span]
        if spans:
            yield low, high, spans


def apply(text: str, spans: Iterable[Span]) -> str:
    """Return the text with each span replaced by what is said. The spans are in order and do not overlap."""
    pieces: list[str] = []
    at = 0
    for span in spans:
        pieces += (text[at : span.start], span.spoken)
        at = span.end
    pieces.append(text[at:])
    return "".join(pieces)


def compose(first: Sequence[Span], second: Sequence[Span], between: str) -> tuple[Span, ...]:
    """Return the spans that do at once what two passes do one after the other.

    Args:
        first: Spans of the written text.
        second: Spans of `between`.
        between: What `apply` makes of the written text with `first`.

    Returns:
        Spans of the written text. Where two touch the same characters they have become one.
    """
    if not first or not second:
        return tuple(first or second)
    places, outputs = _places(first, len(between))
    result: list[Span] = []
    for group in _groups(second, outputs):
        start, end, spans = group
        said = apply(between[start:end], [Span(s.start - start, s.end - start, s.spoken) for s in spans])
        result.append(Span(places[start][0], places[end - 1][1], said))
    covered = list(result)
    at = 0
    for span in first:
        while at < len(covered) and covered[at].end <= span.start:
            at += 1
        if at == len(covered) or span.end <= covered[at].start:
            result.append(span)
    result.sort(key=lambda span: span.start)
    return tuple(result)


def _places(first: Sequence[Span], length: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return for each character between the passes where it stands in the written text (from, to), and from where
    to where the spans of the first pass lie between the passes."""
    places: list[tuple[int, int]] = []
    outputs: list[tuple[int, int]] = []
    at = 0
    for span in first:
        places += ((i, i + 1) for i in range(at, span.start))
        if span.spoken:
            outputs.append((len(places), len(places) + len(span.spoken)))
            places += [(span.start, span.end)] * len(span.spoken)
        at = span.end
    places += ((i, i + 1) for i in range(at, at + length - len(places)))
    return places, outputs


def _groups(
    second: Sequence[Span], outputs: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, list[Span]]]:
    """Yield the spans of the second pass, together where they touch what one span of the first has made."""
    start, end, spans = 0, 0, list[Span]()
    at = 0
    for span in second:
        while at < len(outputs) and outputs[at][1] <= span.start:
            at += 1
        low, high = span.start, span.end
        last = at
        while last < len(outputs) and outputs[last][0] < span.end:
            low, high = min(low, outputs[last][0]), max(high, outputs[last][1])
            last += 1
        if spans and low < end:
            end = max(end, high)
            spans.append(span)
            continue
        if spans:
            yield start, end, spans
        start, end, spans = low, high, [span]
    if spans:
        yield start, end, spans
