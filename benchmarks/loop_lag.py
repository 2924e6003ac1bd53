"""How late an event loop's timers are: what every caller of a busy process waits for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

__all__ = ["LoopLag"]

PERIOD_S = 0.05
"""Rare enough to cost nothing beside a call: 20 timers a second, for all calls together."""
MAX_TIMERS = 20_000


class LoopLag:
    """Follows the running loop from now on, by a timer every 50 ms.

    Args:
        clock: Returns seconds. uvloop's own clock stands still while a callback works.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._late_s: deque[float] = deque(maxlen=MAX_TIMERS)
        self._due = 0.0
        self._arm()

    def begin(self) -> None:
        """Forget the timers until now."""
        self._late_s.clear()

    def quantile_ms(self, share: float) -> float:
        """Return how late this share of the timers was at most, in ms; 0.0 if there were none."""
        late_s = sorted(self._late_s)
        return round(late_s[int(share * (len(late_s) - 1))] * 1e3, 2) if late_s else 0.0

    def _arm(self) -> None:
        self._due = self._clock() + PERIOD_S
        self._loop.call_later(PERIOD_S, self._on_timer)

    def _on_timer(self) -> None:
        self._late_s.append(max(0.0, self._clock() - self._due))
        self._arm()
