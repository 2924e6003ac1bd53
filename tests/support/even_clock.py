"""The clock of an event loop that goes evenly, however late the machine lets the loop run: for tests of stalls."""

from __future__ import annotations

import asyncio

__all__ = ["EvenClock"]

STEP_S = 0.01
"""The most that passes between two looks at the clock: half a frame of audio."""


class EvenClock:
    """Replaces the clock of the running loop. Time passes as it does, but no stall of the machine is seen.

    Real sockets work with it, because it never runs ahead: what starves the process only makes its clock slow.
    """

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._seen = self._now = self._real()
        loop.time = self._time  # type: ignore[method-assign]

    def _time(self) -> float:
        seen = self._real()
        self._now += min(seen - self._seen, STEP_S)
        self._seen = seen
        return self._now

    def stall(self, seconds: float) -> None:
        """Let so much time pass in which the loop did nothing."""
        self._now += seconds
