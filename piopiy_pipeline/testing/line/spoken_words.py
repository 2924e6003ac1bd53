"""Which words a caller had spoken by when: what a scripted STT transcribes.

The caller's link notes each recording as it is played, and the STT asks for the stretch that the VAD has heard. So
a sentence that the VAD cuts in two becomes two transcripts, each with its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

__all__ = ["Spoken", "SpokenWords"]

Spoken = Callable[[float, float], str]
"""The words that reached the bot after the first and up to the second time, in seconds of the loop's clock."""

KEPT_S = 300.0
"""Words older than this many seconds are forgotten: nobody asks for them, and a call may be long."""


@dataclass(frozen=True, slots=True)
class _Word:
    text: str
    at: float


class SpokenWords:
    """The caller's words in time. It is a `Spoken` itself.

    The words of a recording are spread over its speech in proportion to their letters. A word counts where its
    middle lies.
    """

    def __init__(self) -> None:
        self._words: list[_Word] = []

    def add(self, start: float, end: float, text: str) -> None:
        """`text` is spoken from `start` to `end`, in seconds; later recordings start no earlier."""
        words = text.split()
        letters = sum(len(word) + 1 for word in words)
        at = 0
        for word in words:
            middle = start + (end - start) * (at + (len(word) + 1) / 2) / letters
            self._words.append(_Word(word, middle))
            at += len(word) + 1
        if self._words and self._words[0].at < start - KEPT_S:
            self._words = [word for word in self._words if word.at >= start - KEPT_S]

    def cut(self, at: float) -> None:
        """Drop the words after `at`, because the caller has stopped there."""
        self._words = [word for word in self._words if word.at <= at]

    def skip(self, since: float, until: float) -> None:
        """Drop the words after `since` and up to `until`, because nothing of the caller was sent then."""
        if self._words and self._words[-1].at > since:
            self._words = [word for word in self._words if not since < word.at <= until]

    def delay(self, since: float, until: float) -> None:
        """Have the words after `since` reach the bot at `until`: nobody heard them before."""
        self._words = [replace(word, at=until) if since < word.at <= until else word for word in self._words]

    def __call__(self, start: float, end: float) -> str:
        return " ".join(word.text for word in self._words if start < word.at <= end)
