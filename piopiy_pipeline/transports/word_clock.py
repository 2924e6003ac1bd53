"""From a word's presentation time to its place in the audio.

pipecat stamps words with the clock of the pipeline, counted from the moment at which the first
audio of their context passed the TTS service, or from the last word before it if that is later
(`WordTimestampTracker`). Speech is sent far ahead of the moment at which it is heard, so those
times say nothing about the playout; but their distance from that origin is the word's place in the
audio of its context. This class keeps the same origins, and the position at which each context's
audio began.
"""

from __future__ import annotations

__all__ = ["WordClock"]


class WordClock:
    """Origins of the contexts in nanoseconds of the pipeline's clock; positions in samples at `rate`."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._contexts: dict[str, tuple[int, int]] = {}
        self._last_pts = 0
        self._last_kept_pts = 0

    def audio(self, context: str | None, position: int, clock_ns: int) -> None:
        """Audio of `context` begins at `position`, if this is its first."""
        if context is not None and context not in self._contexts:
            self._contexts[context] = (position, max(self._last_pts, clock_ns))

    def word(self, context: str | None, pts: int, *, interruptible: bool = True) -> int | None:
        """The position at which the word stamped `pts` has begun, or None in an unknown context."""
        self._last_pts = max(self._last_pts, pts)
        if not interruptible:
            self._last_kept_pts = max(self._last_kept_pts, pts)
        return self.place(context, pts)

    def place(self, context: str | None, pts: int) -> int | None:
        """The position of what is stamped `pts` and is no word, or None in an unknown context."""
        if context is None or context not in self._contexts:
            return None
        start, origin = self._contexts[context]
        return start + max(0, pts - origin) * self._rate // 1_000_000_000 + 1

    def ended(self, context: str | None) -> None:
        """No more words of this context will come."""
        if context is not None:
            self._contexts.pop(context, None)

    def interrupted(self) -> None:
        """Forget the contexts; words that may not be interrupted go on counting."""
        self._contexts.clear()
        self._last_pts = self._last_kept_pts
