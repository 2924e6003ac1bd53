"""The most urgent request first: what waits for the workers of a pool whose requests need no state.

`Worker` answers in the order of submission, so a final transcript would wait behind whatever was asked before.
Here a request waits outside, and goes to the first worker that is idle; to one that is started again only if there is
no other. If its worker dies, it is asked once more, because another worker or a new one can answer it as well; one that
kills two workers fails.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from loguru import logger

from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import Worker, WorkerLost

__all__ = ["Urgency", "WorkerQueue", "queue_of"]

MAX_WAITING = 256
"""Requests that may wait for the workers of a pool; one more is refused."""


class Urgency(IntEnum):
    """What goes first."""

    FINAL = 0
    """A caller waits for it."""
    AHEAD = 1
    """It may be asked in vain."""
    PARTIAL = 2
    """Nobody waits for it."""


@dataclass(order=True, slots=True)
class _Question:
    urgency: Urgency
    number: int
    method: str = field(compare=False)
    args: tuple[Any, ...] = field(compare=False)
    answer: asyncio.Future[Any] = field(compare=False)
    losses: int = field(default=0, compare=False)


class WorkerQueue:
    """What one event loop asks of a pool. `queue_of` has the one of the running loop."""

    def __init__(self, pool: WorkerPool) -> None:
        self._idle: list[Worker] = list(pool.workers)
        self._waiting: list[_Question] = []
        self._numbers = itertools.count()
        self._loop = asyncio.get_running_loop()

    @property
    def idle(self) -> bool:
        """Whether a request would be begun at once."""
        return bool(self._idle) and not self._waiting

    def ask(self, urgency: Urgency, method: str, *args: Any) -> asyncio.Future[Any]:
        """Have some worker run a method.

        Args:
            urgency: What it may overtake.
            method: The name of the method.
            args: Its arguments, which are pickled.

        Returns:
            A future with the result; or with `WorkerLost` after a second loss, `WorkerSlow` or `WorkerFailed`. If it is
            cancelled before a worker is idle, nothing is asked.

        Raises:
            BlockingIOError: 256 requests wait already.
        """
        if len(self._waiting) >= MAX_WAITING:
            self._waiting = [each for each in self._waiting if not each.answer.done()]
            heapq.heapify(self._waiting)
        if len(self._waiting) >= MAX_WAITING:
            raise BlockingIOError(f"{MAX_WAITING} requests wait for the workers already")
        question = _Question(urgency, next(self._numbers), method, args, self._loop.create_future())
        heapq.heappush(self._waiting, question)
        self._go_on()
        return question.answer

    def hurry(self, answer: asyncio.Future[Any]) -> None:
        """Make a request that still waits as urgent as a final one."""
        for question in self._waiting:
            if question.answer is answer:
                question.urgency = Urgency.FINAL
                heapq.heapify(self._waiting)
                return

    def _go_on(self) -> None:
        while self._idle and self._waiting:
            question = heapq.heappop(self._waiting)
            if question.answer.done():
                continue
            worker = next((each for each in reversed(self._idle) if each.is_ready), self._idle[-1])
            self._idle.remove(worker)
            try:
                answer = worker.submit_as(question.urgency, question.method, *question.args)
            except (BlockingIOError, RuntimeError) as error:  # others fill its lane, or it was closed
                self._idle.append(worker)
                question.answer.set_exception(error)
                continue
            answer.add_done_callback(partial(self._answered, worker, question))

    def _answered(self, worker: Worker, question: _Question, answer: asyncio.Future[Any]) -> None:
        self._idle.append(worker)
        error = None if answer.cancelled() else answer.exception()
        if isinstance(error, WorkerLost) and error.asked_again and not worker.closed:
            question.losses += 1
            if question.losses < 2 and not question.answer.done():
                logger.debug("{}: it is asked once more", error)
                heapq.heappush(self._waiting, question)
                self._go_on()
                return
        if not question.answer.done():
            if answer.cancelled():
                question.answer.cancel()
            elif error is not None:
                question.answer.set_exception(error)
            else:
                question.answer.set_result(answer.result())
        self._go_on()


_queues: WeakKeyDictionary[WorkerPool, dict[asyncio.AbstractEventLoop, WorkerQueue]] = WeakKeyDictionary()


def queue_of(pool: WorkerPool) -> WorkerQueue:
    """Return the running loop's queue in front of a pool."""
    queues = _queues.setdefault(pool, {})
    for loop in [loop for loop in queues if loop.is_closed()]:
        del queues[loop]
    return queues.setdefault(asyncio.get_running_loop(), WorkerQueue(pool))
