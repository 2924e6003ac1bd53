"""What a bot was told to say, and who waits until it was heard.

A line is followed by a mark on its way through the TTS. That the mark was heard proves that the line
was, as long as the TTS did not fail in between: then the line is owed.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

__all__ = ["PendingUtterances", "Utterance"]


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something to say, and who waits for it."""

    text: str
    interruptible: bool
    into_context: bool
    heard: asyncio.Future[bool]

    def done(self, heard: bool) -> None:
        """Tell whoever waits whether it was heard in full."""
        if not self.heard.done():
            self.heard.set_result(heard)


class PendingUtterances:
    """The lines of one call that nobody has heard yet, by the numbers of their marks."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Utterance] = {}
        self._made: set[int] = set()  # marks of what has left the TTS
        self._unsaid: list[Utterance] = []

    @property
    def owed(self) -> bool:
        """Whether there are lines that the TTS has not said yet."""
        return any(number not in self._made for number in self._waiting)

    def add(self, line: Utterance) -> int:
        """A line is on its way to the TTS. Returns the number of its mark."""
        number = next(self._numbers)
        self._waiting[number] = line
        return number

    def made(self, number: int) -> None:
        """The mark has left the TTS, so the line has."""
        self._made.add(number)

    def heard(self, number: int) -> None:
        """The mark was heard."""
        self._made.discard(number)
        line = self._waiting.pop(number, None)
        if line is not None:
            line.done(True)

    def voice_changed(self) -> None:
        """Another TTS speaks: what the one before had not said yet, nobody says, nor its mark."""
        for number in [number for number in self._waiting if number not in self._made]:
            self._waiting.pop(number).done(False)

    def voice_failed(self) -> None:
        """What waits to be heard may never have been spoken: its mark proves nothing any more."""
        self._unsaid += self._waiting.values()
        self._waiting.clear()

    def take_unsaid(self) -> list[Utterance]:
        """The lines that the TTS owes, to be said again or given up."""
        lines, self._unsaid = self._unsaid, []
        return lines

    def cut_off(self, *, everything: bool = False) -> None:
        """An interruption, or the end: what is still waited for was not heard in full."""
        for number, line in list(self._waiting.items()):
            if line.interruptible or everything:
                del self._waiting[number]
                self._made.discard(number)
                line.done(False)
        if everything:
            for line in self.take_unsaid():
                line.done(False)
