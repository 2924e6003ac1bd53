"""What the bot was told to say, and who waits until it was heard.

On its way through the TTS, an utterance is followed by a mark. When the mark was heard, the utterance was
heard too, unless the TTS failed in between: then the utterance is unsaid.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass

__all__ = ["OF_UTTERANCE", "PendingUtterances", "Utterance"]

OF_UTTERANCE = "piopiy_utterance"
"""The key in a frame's `metadata` under which the number of the utterance's mark stands."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A text to say.

    Attributes:
        text: The text.
        interruptible: Whether the caller can cut it off.
        into_context: Whether the conversation of the model holds it, once it was heard.
        heard: Gets the result True if the text was heard in full, else False.
    """

    text: str
    interruptible: bool
    into_context: bool
    heard: asyncio.Future[bool]

    def done(self, heard: bool) -> None:
        """Tell whoever waits whether the text was heard in full."""
        if not self.heard.done():
            self.heard.set_result(heard)


class PendingUtterances:
    """The utterances of one call that nobody has heard yet, by the numbers of their marks."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Utterance] = {}
        self._synthesised: set[int] = set()
        self._unsaid: list[Utterance] = []
        self._short: set[int] = set()

    @property
    def pending(self) -> bool:
        """Whether there are utterances that have not left the TTS."""
        return any(number not in self._synthesised for number in self._waiting)

    @property
    def has_unsaid(self) -> bool:
        """Whether a TTS has failed to say something that nobody has taken up yet."""
        return bool(self._unsaid)

    def add(self, utterance: Utterance) -> int:
        """Add an utterance that is on its way to the TTS. Returns the number of its mark."""
        number = next(self._numbers)
        self._waiting[number] = utterance
        return number

    def synthesised(self, number: int) -> None:
        """Note that the mark of this number has left the TTS, and so has the utterance before it."""
        self._synthesised.add(number)

    def cut_short(self, number: int) -> None:
        """Note that the utterance with the mark of this number is too long: the end of it will not be heard."""
        if number in self._waiting:
            self._short.add(number)

    def heard(self, number: int) -> None:
        """Note that the mark of this number was heard, and so was its utterance, or what was left of it."""
        self._synthesised.discard(number)
        utterance = self._waiting.pop(number, None)
        if utterance is not None:
            utterance.done(number not in self._short)
        self._short.discard(number)

    def tts_changed(self) -> None:
        """Give up what the TTS before has not said yet, because another TTS is active."""
        for number in [number for number in self._waiting if number not in self._synthesised]:
            self._waiting.pop(number).done(False)

    def tts_failed(self) -> None:
        """Mark what waits to be heard as unsaid: it may never have been spoken, so its mark proves nothing
        any more.
        """
        self._unsaid += self._waiting.values()
        self._waiting.clear()

    def take_unsaid(self) -> list[Utterance]:
        """Return the utterances that a failed TTS did not say, to be said again or given up."""
        unsaid, self._unsaid = self._unsaid, []
        return unsaid

    def cut_off(self, *, everything: bool = False) -> None:
        """Mark everything that is still waited for as not heard in full: an interruption has come, or the
        call has ended.
        """
        for number, utterance in list(self._waiting.items()):
            if utterance.interruptible or everything:
                del self._waiting[number]
                self._synthesised.discard(number)
                utterance.done(False)
        if everything:
            for utterance in self.take_unsaid():
                utterance.done(False)
