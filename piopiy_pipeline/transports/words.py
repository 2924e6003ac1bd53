"""Which words of a sentence were heard, when only the position in its audio is known."""

from __future__ import annotations

import re

__all__ = ["SpokenSentence", "heard_words"]

_WORD = re.compile(r"\S+\s*")
_TYPICAL_SAMPLES_PER_CHARACTER_S = 1 / 15
"""Seconds a character, of a voice whose pace is not known yet: slower than most, so that an
estimate errs towards fewer words."""


def heard_words(text: str, fraction: float) -> str:
    """The words of a sentence that had begun when this share of its audio had been heard.

    In proportion to the letters. The word under way when the cut came is left out: it is the one
    word that may be missing, and no word is claimed that was not begun.
    """
    end = max(0.0, min(1.0, fraction)) * len(text)
    kept = 0
    for match in _WORD.finditer(text):
        if match.start() + len(match.group().rstrip()) > end:
            break
        kept = match.end()
    return text[:kept].rstrip()


class SpokenSentence:
    """A sentence without word times, and where its audio lies. Positions are samples at `rate`."""

    __slots__ = ("end", "identity", "rate", "start", "text")

    def __init__(self, identity: object, text: str, start: int, rate: int) -> None:
        self.identity = identity
        self.text = text
        self.start = start
        self.end: int | None = None
        self.rate = rate

    def heard(self, position: int, queued: int) -> str:
        """What was heard of it when `position` of the `queued` samples had been played.

        While its audio is still being made its length is not known: it is then at least what is
        there, and at least what a voice needs for so many letters.
        """
        if position <= self.start:
            return ""
        if self.end is not None and position >= self.end:
            return self.text
        typical = int(len(self.text) * _TYPICAL_SAMPLES_PER_CHARACTER_S * self.rate)
        length = self.end - self.start if self.end is not None else max(queued - self.start, typical)
        return heard_words(self.text, (position - self.start) / max(length, 1))
