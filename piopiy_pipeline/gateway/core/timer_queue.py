"""`TimerQueue`: who is to be woken when, the earliest first. No I/O."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Protocol

from loguru import logger

__all__ = ["TimerOwner", "TimerQueue"]

AGAIN_S = 30.0
"""An owner that failed is woken again after so many seconds, if it still is to be woken: a registration at a trunk is
to be renewed, whatever went wrong once."""


class TimerOwner(Protocol):
    """Something that must be woken at a time: a call; of SIP a transaction, a dialog, a registration."""

    @property
    def wake_at(self) -> float | None:
        """The time in seconds; None: it is not to be woken."""

    def wake(self, now: float) -> None:
        """Act on what is due. It is called at the time `wake_at`."""


class TimerQueue:
    """Timers sorted by their time. An owner has one timer at most, and the queue keeps no owner without a
    timer.
    """

    def __init__(self) -> None:
        self._heap: list[_Timer] = []
        self._set: dict[int, _Timer] = {}  # by id: owners need not be hashable
        self._count = 0

    def __len__(self) -> int:
        return len(self._set)

    @property
    def next_at(self) -> float | None:
        """The time of the next timer in seconds; None: there is none."""
        while self._heap and self._heap[0].owner is None:
            heapq.heappop(self._heap)
        return self._heap[0].at if self._heap else None

    def set(self, owner: TimerOwner) -> None:
        """Read the owner's `wake_at` again, because it may have changed."""
        self._set_at(owner, owner.wake_at)

    def _set_at(self, owner: TimerOwner, at: float | None) -> None:
        timer = self._set.get(id(owner))
        if timer is not None and timer.at == at:
            return
        self.forget(owner)
        if at is not None:
            self._count += 1
            timer = _Timer(at, self._count, owner)
            self._set[id(owner)] = timer
            heapq.heappush(self._heap, timer)

    def forget(self, owner: TimerOwner) -> None:
        """Remove the owner's timer, if it has one."""
        timer = self._set.pop(id(owner), None)
        if timer is not None:
            timer.owner = None
            if len(self._heap) > 64 and len(self._heap) > 4 * len(self._set):
                self._heap = [timer for timer in self._heap if timer.owner is not None]
                heapq.heapify(self._heap)

    def run_due(self, now: float) -> None:
        """Wake every owner whose time has come."""
        while (at := self.next_at) is not None and at <= now:
            timer = heapq.heappop(self._heap)
            owner = timer.owner
            assert owner is not None  # next_at has just looked
            del self._set[id(owner)]
            try:
                owner.wake(now)
            except Exception:
                # The others are woken all the same. This one is woken later, or it would fail at once again.
                logger.exception("a timer of {} failed", type(owner).__name__)
                if (at := owner.wake_at) is not None:
                    self._set_at(owner, max(at, now + AGAIN_S))
            else:
                self.set(owner)


@dataclass(slots=True, order=True)
class _Timer:
    at: float
    count: int
    owner: TimerOwner | None = field(compare=False)
