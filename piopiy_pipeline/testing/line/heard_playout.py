"""What a caller's telephone plays of the audio that reaches it, and where it has nothing to play."""

from __future__ import annotations

from collections import deque

__all__ = ["HeardPlayout"]

BUFFER_S = 0.060
"""What the telephone waits for before it plays: three frames, as jitter buffers do."""
STRETCH_S = 0.5
"""Audio that comes so long after the last begins another stretch of speech: no gap."""
MAX_GAPS = 10_000


class HeardPlayout:
    """Plays one caller's audio without playing it.

    Args:
        rate: The sample rate of the audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._ends = float("-inf")
        self._gaps: deque[tuple[float, float]] = deque(maxlen=MAX_GAPS)

    def audio(self, samples: int, now: float) -> None:
        """Take so many samples, which arrive at `now`, in seconds of any clock."""
        if now - self._ends > STRETCH_S:
            self._ends = now + BUFFER_S
        elif now - self._ends > 1e-6:
            self._gaps.append((now, now - self._ends))
            self._ends = now
        self._ends += samples / self._rate

    def gaps_s(self, since: float) -> list[float]:
        """Return the lengths of the gaps that ended after `since`, in seconds."""
        return [length for when, length in self._gaps if when >= since]
