"""The times of SIP in seconds, and who is woken next. Source: RFC 3261, 17.1.1.1 and table 4."""

from __future__ import annotations

import heapq
from typing import Protocol

__all__ = ["T1", "T2", "T4", "TIMEOUT", "Alarms", "Sleeper"]

T1 = 0.5
"""An estimate of the round trip: the first retransmission."""
T2 = 4.0
"""The longest between two retransmissions."""
T4 = 5.0
"""How long a message may stay in the network."""
TIMEOUT = 64 * T1
"""Timers B, F, H, J, L, M: when a transaction gives up, or forgets."""


class Sleeper(Protocol):
    """Something that wants to be woken."""

    @property
    def wake_at(self) -> float | None:
        """When; None: not at all."""

    def wake(self, now: float) -> None:
        """It is time."""


class Alarms:
    """Who is woken when. Entries are left in the heap when a sleeper changes its mind, and checked when due."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Sleeper]] = []
        self._armed: dict[int, float] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def next_at(self) -> float | None:
        """The time of the next alarm."""
        return self._heap[0][0] if self._heap else None

    def set(self, sleeper: Sleeper) -> None:
        """Look at its `wake_at` again, which may have changed."""
        at = sleeper.wake_at
        if at is None:
            return
        armed = self._armed.get(id(sleeper))
        if armed is None or at < armed:
            self._armed[id(sleeper)] = at
            self._count += 1
            heapq.heappush(self._heap, (at, self._count, sleeper))

    def ring(self, now: float) -> None:
        """Wake everybody whose time has come."""
        while self._heap and self._heap[0][0] <= now:
            at, _, sleeper = heapq.heappop(self._heap)
            if self._armed.get(id(sleeper)) == at:
                del self._armed[id(sleeper)]
            due = sleeper.wake_at
            if due is not None and due <= now:
                sleeper.wake(now)
            self.set(sleeper)
