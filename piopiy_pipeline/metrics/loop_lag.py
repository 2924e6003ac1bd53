"""`LoopLag`: how late the event loop runs what is due, measured four times a second by a timer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["LoopLag"]


class LoopLag:
    """Measures the running event loop from now on, until `close`.

    Args:
        observe: Is given each lag, in seconds.
    """

    EVERY_S = 0.25

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + self.EVERY_S
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(self._due, self._run)

    def _run(self) -> None:
        now = self._loop.time()
        lag_s = max(0.0, now - self._due)
        self._due = now + self.EVERY_S
        self._timer = self._loop.call_at(self._due, self._run)  # first: an error below does not end the next
        self._observe(lag_s)

    def close(self) -> None:
        """Measure no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
