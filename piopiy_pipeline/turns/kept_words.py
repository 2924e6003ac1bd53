"""What the caller has said while nobody could hear them out, until it can be their turn. Without I/O.

Several utterances are one turn: they are put together to one transcript.
"""

from __future__ import annotations

from copy import copy

from pipecat.frames.frames import TranscriptionFrame

__all__ = ["KeptWords"]

MOST_KEPT = 64
"""So many transcripts are kept; the oldest ones go first. A bot that speaks for minutes fills no memory."""
GOES_ON_S = 1.5
"""Who is silent for longer than this begins to say something else."""


class KeptWords:
    """Keeps final transcripts. Every `now` is in seconds of one clock."""

    def __init__(self) -> None:
        self._kept: list[TranscriptionFrame] = []
        self._speaking = False
        self._final_due = False
        self._stretch_words = 0
        self._active_at = float("-inf")

    def __bool__(self) -> bool:
        return bool(self._kept)

    def voice(self, speaking: bool, now: float) -> None:
        """Note that the VAD hears the caller, or no more."""
        if speaking:
            self._look(now)
            self._final_due = True
        self._speaking = speaking
        self._active_at = now

    def keep(self, frame: TranscriptionFrame, now: float) -> None:
        """Keep a final transcript."""
        self._look(now)
        self._stretch_words += len(frame.text.split())
        self._final_due = self._speaking
        self._active_at = now
        self._kept.append(frame)
        del self._kept[:-MOST_KEPT]

    def words(self, now: float, interim: str = "") -> int:
        """Return how many words the caller has said in one stretch, without a pause of more than 1.5 s.

        Args:
            now: The time.
            interim: Words of which the final transcript is still to come.
        """
        self._look(now)
        if interim.strip():
            self._active_at = now
        return self._stretch_words + len(interim.split())

    def taken(self) -> TranscriptionFrame | None:
        """Return everything that is kept as one transcript, and keep nothing; None if there is nothing."""
        if not self._kept:
            return None
        whole = copy(self._kept[-1])
        whole.text = " ".join(frame.text.strip() for frame in self._kept)
        whole.finalized = whole.finalized and not self._final_due
        whole.interruptible = False  # the interruption that begins this turn must not drop its words
        self.clear()
        return whole

    def clear(self) -> None:
        """Keep nothing."""
        self._kept.clear()
        self._stretch_words = 0

    def _look(self, now: float) -> None:
        if not self._speaking and now - self._active_at > GOES_ON_S:
            self._stretch_words = 0
