"""The times of SIP in seconds, and who is woken next. Source: RFC 3261, 17.1.1.1 and table 4."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from loguru import logger

__all__ = ["T1", "T2", "T4", "TIMEOUT", "TimerOwner", "TimerQueue"]

T1 = 0.5
"""An estimate of the round trip: the first retransmission."""
T2 = 4.0
"""The longest between two retransmissions."""
T4 = 5.0
"""How long a message may stay in the network."""
TIMEOUT = 64 * T1
"""Timers B, F, H, J, L, M: when a transaction gives up, or forgets."""


class TimerOwner(Protocol):
    """Something that wants to be woken."""

    @property
    def wake_at(self) -> float | None:
        """When; None: not at all."""

    def wake(self, now: float) -> None:
        """It is time."""


class TimerQueue:
    """Who is woken when. A sleeper has one alarm at most, and is let go of as soon as it has none."""

    def __init__(self) -> None:
        self._heap: list[_Timer] = []
        self._set: dict[int, _Timer] = {}  # by id: sleepers need not be hashable
        self._count = 0

    def __len__(self) -> int:
        return len(self._set)

    @property
    def next_at(self) -> float | None:
        """The time of the next alarm."""
        while self._heap and self._heap[0].sleeper is None:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def set(self, sleeper: TimerOwner) -> None:
        """Look at its `wake_at` again, which may have changed."""
        at = sleeper.wake_at
        alarm = self._set.get(id(sleeper))
        if alarm is not None and alarm.at == at:
            return
        self.forget(sleeper)
        if at is not None:
            self._count += 1
            alarm = _Timer(at, self._count, sleeper)
            self._set[id(sleeper)] = alarm
            heapq.heappush(self._heap, alarm)

    def forget(self, sleeper: TimerOwner) -> None:
        """It wants to be woken no more."""
        alarm = self._set.pop(id(sleeper), None)
        if alarm is not None:
            alarm.sleeper = None
            if len(self._heap) > 64 and len(self._heap) > 4 * len(self._set):
                self._heap = [alarm for alarm in self._heap if alarm.sleeper is not None]
                heapq.heapify(self._heap)

    def ring(self, now: float) -> None:
        """Wake everybody whose time has come."""
        while (at := self.next_at) is not None and at <= now:
            alarm = heapq.heappop(self._heap)
            sleeper = alarm.sleeper
            assert sleeper is not None  # next_at has just looked
            del self._set[id(sleeper)]
            try:
                sleeper.wake(now)
            except Exception:
                # The others are woken all the same; this one is not, lest it fail for ever.
                logger.exception("sip: a timer failed")
            else:
                self.set(sleeper)


@dataclass(slots=True, order=True)
class _Timer:
    at: float
    count: int
    sleeper: TimerOwner | None = field(compare=False)
