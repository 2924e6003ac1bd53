"""When the caller's audio arrived: a line only where it departs from the pace of its samples.

Without I/O. The samples themselves are written as they come, one behind the other.
"""

from __future__ import annotations

__all__ = ["TOLERANCE_S", "Arrivals"]

TOLERANCE_S = 0.06
"""Audio that comes this much earlier or later than its samples say begins a new run."""


class Arrivals:
    """Counts samples at `rate` Hz, and tells where a run of them begins."""

    def __init__(self, rate: int) -> None:
        self.samples = 0
        self._rate = rate
        self._offset: float | None = None

    def add(self, samples: int, now: float) -> float | None:
        """So many samples have arrived by `now`. Returns when the first of them was due, if a run begins."""
        begins = now - samples / self._rate
        offset = begins - self.samples / self._rate
        self.samples += samples
        if self._offset is not None and abs(offset - self._offset) <= TOLERANCE_S:
            return None
        self._offset = offset
        return begins
