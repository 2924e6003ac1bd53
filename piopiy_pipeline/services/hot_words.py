"""Repairs near misses of words that the author says are likely: names, menu items."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["HotWords"]


class HotWords:
    """The author's list."""

    def __init__(self, words: Iterable[str]) -> None:
        self._words: Sequence[str] = tuple(words)

    def repair(self, text: str) -> tuple[str, list[tuple[str, str]]]:
        """Return the text with near misses repaired, and what was replaced by which hot word."""
        return text, []
