"""Where speech that was held goes on: at the beginning of the word that was cut off. Without I/O.

A voice with word times says where each word lies. For others the loudness of the speech has to tell. The same
loudness says how much of the caller's sound may be the echo of the bot.
"""

from __future__ import annotations

from bisect import bisect_right

from piopiy_pipeline.audio.envelope import Envelope

__all__ = ["SpeechPlaces"]

WORD_S = 1.2
"""A word is not longer: one that began earlier is over."""
SOUND_S = 0.6
"""How far back a gap is looked for, where words have no times."""
KEPT_S = 3.0
"""What was heard longer ago is forgotten."""


class SpeechPlaces:
    """The loudness of one call's speech and the beginnings of its words, by position in the current epoch.

    Args:
        rate: Sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._envelope = Envelope(rate)
        self._words: list[int] = []

    def audio(self, pcm: bytes) -> None:
        """Take speech after everything said so far: PCM16 mono."""
        self._envelope.add(pcm)

    def word(self, position: int) -> None:
        """Note that a word begins at `position`. Words come in order, but for a few."""
        self._words.insert(bisect_right(self._words, position), position)

    def heard(self, position: int) -> None:
        """Note that the caller has heard up to `position`."""
        old = position - int(KEPT_S * self._rate)
        self._envelope.forget_before(old)
        del self._words[: bisect_right(self._words, old)]

    def cut(self, resend: list[bytes]) -> None:
        """Begin another epoch, with the audio of the last one that is said again."""
        self._envelope.clear()
        self._words.clear()
        for pcm in resend:
            self._envelope.add(pcm)

    def power(self, position: int, seconds: float) -> float:
        """Return the mean power of so many seconds of speech before `position`, 1.0 at full scale."""
        return self._envelope.power(position, int(seconds * self._rate))

    def word_begins(self, position: int) -> int:
        """Return where the word has begun that `position` lies in; `position` itself between words, and where
        nothing tells.
        """
        by_sound = self._envelope.sound_begins(position, int(SOUND_S * self._rate))
        if by_sound == position:  # nothing is under way
            return position
        at = bisect_right(self._words, position)
        if at and position - self._words[at - 1] <= WORD_S * self._rate:
            return self._words[at - 1]
        return position if by_sound is None else by_sound
