"""Cuts what a model writes for a voice that wants it piece by piece: never inside a number, a date or a mark."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from pipecat.utils.text.base_text_aggregator import Aggregation, BaseTextAggregator, TextType

__all__ = ["WordAggregator"]

MAX_HELD = 300
"""Characters that are held at most, if no place comes at which the text may be cut."""
_CUT = re.compile(r"(?<!\S)[^\W\d_]{2,}[,;]?(\s+)(?=[^\W\d_]{2,}[,;]?\s)")
"""Between two plain words, of which the second is complete. An abbreviation ends in a full stop, a month may come
before a number, and marks of markdown are no letters, so nothing that belongs together is cut."""
_FULL_STOPS = "。！？；"
"""They end sentences of languages that write no blanks between words."""
_OPEN = re.compile(r"`{3}|~{3}|[*_`\[|<]|\n")


class WordAggregator(BaseTextAggregator):
    """Gives out the text as soon as it is certain that what comes next does not belong to it."""

    def __init__(self) -> None:
        super().__init__(aggregation_type=TextType.TOKEN)
        self._text = ""

    @property
    def text(self) -> Aggregation:
        """The text that is held."""
        return Aggregation(self._text, TextType.TOKEN)

    async def aggregate(self, text: str) -> AsyncIterator[Aggregation]:
        """Take a piece of text, and yield what may be said."""
        for character in text:
            self._text += character
            if len(self._text) >= MAX_HELD:
                at = len(self._text)
            elif character.isspace():
                at = self._cut()
            elif character in _FULL_STOPS and not _OPEN.search(self._text):
                at = len(self._text)
            else:
                continue
            if at:
                piece, self._text = self._text[:at], self._text[at:]
                yield Aggregation(piece, TextType.TOKEN)

    def _cut(self) -> int:
        if _OPEN.search(self._text):
            return self._after_line()
        cuts = [match.end(1) for match in _CUT.finditer(self._text)]
        return cuts[-1] if cuts else 0

    def _after_line(self) -> int:
        """Return where a text with markup may be cut: behind a line or a sentence."""
        if "```" in self._text or "~~~" in self._text:
            return 0
        ends = re.search(r"(?:[^\W\d_]{4,}[.)]|[!?])\s$|\n$", self._text)
        return len(self._text) if ends else 0

    async def flush(self) -> Aggregation | None:
        """Return the rest."""
        text, self._text = self._text, ""
        return Aggregation(text, TextType.TOKEN) if text else None

    async def handle_interruption(self) -> None:
        """Forget what is held."""
        self._text = ""

    async def reset(self) -> None:
        """Forget what is held."""
        self._text = ""
