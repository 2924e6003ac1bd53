"""Cuts a text into clauses, for voices that speak one clause a request."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["CLAUSE", "clauses"]

CLAUSE = 160
"""A sentence of more characters is spoken clause by clause, so that its beginning does not wait for its end."""
_ENDS = re.compile(
    r"(?<=[.!?;:,])(?=\s)|(?<=[.!?;:,][\"'”’»)\]])(?=\s)|(?<=[。！？；：，、])(?![。！？；：，、」』”’）])"
)
"""Where a clause may end. Inside of a number ("1,250", "7:30") or an address is none."""


def clauses(text: str) -> Iterator[str]:
    """Cut a text into pieces that are spoken one after the other. Joined, they are the text again, except for
    blanks.

    A sentence stays whole up to `CLAUSE` characters. A longer one is cut after punctuation, or between words
    if it has none.
    """
    piece = ""
    for part in _ENDS.split(text):
        if piece and len(piece) + len(part) > CLAUSE:
            yield from _cut(piece)
            piece = ""
        piece += part
    yield from _cut(piece)


def _cut(piece: str) -> Iterator[str]:
    piece = piece.strip()
    while len(piece) > 4 * CLAUSE:
        at = piece.rfind(" ", 1, 4 * CLAUSE)
        at = at if at > 0 else 4 * CLAUSE
        yield piece[:at]
        piece = piece[at:].strip()
    if piece:
        yield piece
