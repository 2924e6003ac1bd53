"""The one way to run work off the event loop.

Work is submitted to a `Lane`, and its result is delivered on the loop that submitted it, in the order of
submission. This keeps the loop free. `in_flight()` counts the requests that have not been answered, so that
a virtual clock can stand still while anything computes. A loop may have a `Courier`, which decides when
answers are delivered: the one of a virtual clock delivers those of all lanes in one order, so that a run
can be repeated.

    lane = Lane("vad", threads=1)
    probabilities = await lane.run(score, batch)
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

__all__ = ["Courier", "Lane", "has_courier", "in_flight", "offload", "use_courier"]

T = TypeVar("T")

_in_flight: dict[asyncio.AbstractEventLoop, int] = {}
_lanes: WeakSet[Lane] = WeakSet()


def in_flight(loop: asyncio.AbstractEventLoop) -> int:
    """Return how many requests of this loop have not been answered yet."""
    return _in_flight.get(loop, 0)


class Courier(Protocol):
    """Decides, for one loop, when the answers of its requests are delivered."""

    def submitted(
        self, job: Future[Any], deliver: Callable[[], None], what: str, do: Callable[[], None] | None
    ) -> None:
        """Take note of a request.

        Args:
            job: Is done when the result is there.
            deliver: Must be called once on the loop, when `job` is done.
            what: Names the request.
            do: None if a worker does the work. Otherwise the work is brief, and the courier calls this itself
                before it delivers.
        """


_couriers: dict[asyncio.AbstractEventLoop, Courier] = {}


def use_courier(loop: asyncio.AbstractEventLoop, courier: Courier | None) -> None:
    """Set who delivers the answers of a loop's requests.

    Args:
        loop: The event loop.
        courier: The courier for this loop. None: the lanes deliver the answers themselves.
    """
    if courier is None:
        _couriers.pop(loop, None)
        _in_flight.pop(loop, None)
    else:
        _couriers[loop] = courier


def has_courier(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether a courier decides when the answers of a loop's requests are delivered."""
    return loop in _couriers


class Lane:
    """A queue of work in front of some worker threads or processes.

    Args:
        name: The name of the lane, for its threads and messages.
        threads: How many threads it has, if there is no `executor`. They start with the first request.
        executor: Any `concurrent.futures` executor, such as a process pool, to use instead of threads.
        ordered: Whether results are delivered in the order of submission. False is for the work of
            calls that must not wait for each other.
        limit: How many requests may wait. One more raises `BlockingIOError` at once, because a queue that
            only grows is an outage that nobody has noticed yet.
        brief: The work takes about a millisecond, waits for nothing and may run in any thread. A courier
            may then do it, and no thread is woken.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int = 1,
        executor: Executor | None = None,
        ordered: bool = True,
        limit: int = 10_000,
        brief: bool = False,
    ) -> None:
        self.name = name
        self.limit = limit
        self.brief = brief
        self.ordered = ordered
        self._threads = threads
        self._executor = executor or ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)
        self._owns_executor = executor is None
        self._waiting: dict[asyncio.AbstractEventLoop, deque[_Request]] = {}
        self._of_parent: Executor | None = None
        _lanes.add(self)

    def submit(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Queue `work(*args)`.

        Args:
            work: The function to run, in a thread or process of the lane.
            args: Its arguments.

        Returns:
            A future of the running loop, with the result or the exception of the work.

        Raises:
            BlockingIOError: `limit` requests wait already.
        """
        loop = asyncio.get_running_loop()
        if loop not in self._waiting:
            for gone in [each for each in self._waiting if each.is_closed()]:
                self._waiting.pop(gone, None)
        waiting = self._waiting.setdefault(loop, deque())
        if len(waiting) >= self.limit:
            raise BlockingIOError(f"{self.name}: {self.limit} requests are waiting already")
        answer: asyncio.Future[T] = loop.create_future()
        courier = _couriers.get(loop)
        do: Callable[[], None] | None = None
        job: Future[T]
        if courier is not None and self.brief:
            job = Future()
            do = partial(_do, job, work, args)
        else:
            job = self._executor.submit(work, *args)
        request = _Request(job, answer)
        waiting.append(request)
        _in_flight[loop] = _in_flight.get(loop, 0) + 1
        if courier is None:
            job.add_done_callback(lambda _: self._wake(loop, request))
        else:
            what = f"{self.name}: {getattr(work, '__qualname__', work)}"
            courier.submitted(job, lambda: self._answer(loop, request), what, do)
        return answer

    async def run(self, work: Callable[..., T], *args: Any) -> T:
        """Queue `work(*args)`, wait for it, and return its result or raise its exception.

        Args:
            work: The function to run, in a thread or process of the lane.
            args: Its arguments.

        Raises:
            BlockingIOError: `limit` requests wait already.
        """
        return await self.submit(work, *args)

    def close(self, *, wait: bool = False) -> None:
        """Take no more requests. Those that run are finished, and those that wait are cancelled.

        Args:
            wait: Whether to block until those that run are finished.
        """
        if self._owns_executor:
            self._executor.shutdown(wait=wait, cancel_futures=True)

    def begin_anew(self) -> None:
        """Begin with threads of this process, which was just forked: threads of its parent are not here."""
        self._waiting = {}
        if self._owns_executor:
            self._of_parent = self._executor  # kept: what would run at its end is for its threads
            self._executor = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix=self.name)

    def _wake(self, loop: asyncio.AbstractEventLoop, request: _Request) -> None:
        """Have the loop deliver an answer. Called in the worker's thread; a closed loop needs no answer."""
        try:
            loop.call_soon_threadsafe(self._deliver, loop, request)
        except RuntimeError:
            self._waiting.pop(loop, None)
            _in_flight.pop(loop, None)

    def _deliver(self, loop: asyncio.AbstractEventLoop, request: _Request) -> None:
        waiting = self._waiting.get(loop)
        if not waiting:  # an earlier delivery took this one along
            return
        if not self.ordered:
            self._answer(loop, request)
            return
        while waiting and waiting[0].job.done():
            self._answer(loop, waiting[0])

    def _answer(self, loop: asyncio.AbstractEventLoop, request: _Request) -> None:
        waiting = self._waiting.get(loop)
        if waiting is None or request not in waiting:  # the loop's books were closed meanwhile
            return
        waiting.remove(request)
        request.deliver()
        _settle(loop)
        if not waiting:
            self._waiting.pop(loop, None)


class _Request:
    """One piece of work in progress, and the future of whoever waits for it."""

    __slots__ = ("answer", "job")

    def __init__(self, job: Future[Any], answer: asyncio.Future[Any]) -> None:
        self.job = job
        self.answer = answer

    def deliver(self) -> None:
        if self.answer.done():  # whoever waited has gone
            return
        if self.job.cancelled():
            self.answer.cancel()
        elif error := self.job.exception():
            self.answer.set_exception(_raisable(error))
        else:
            self.answer.set_result(self.job.result())


def _raisable(error: BaseException) -> BaseException:
    """Return what a future may hold in place of an error: none takes a `StopIteration`, which would end a generator."""
    if not isinstance(error, StopIteration):
        return error
    replacement = RuntimeError("the work raised StopIteration")
    replacement.__cause__ = error
    return replacement


def _do(job: Future[Any], work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Do the work as an executor would."""
    if not job.set_running_or_notify_cancel():
        return
    try:
        result = work(*args)
    except Exception as error:  # noqa: BLE001  it is raised where the answer is waited for
        job.set_exception(error)
    else:
        job.set_result(result)


def _settle(loop: asyncio.AbstractEventLoop) -> None:
    left = _in_flight.get(loop, 0) - 1
    if left > 0:
        _in_flight[loop] = left
    else:
        _in_flight.pop(loop, None)


def _begin_anew() -> None:
    _in_flight.clear()
    for lane in list(_lanes):
        lane.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)

_shared: Lane | None = None


async def offload(work: Callable[..., T], *args: Any) -> T:
    """Run blocking `work(*args)` in a thread of the process's shared lane, and return its result or raise its
    exception.

    Args:
        work: The function to run. It must be safe in a thread.
        args: Its arguments.

    Raises:
        BlockingIOError: Too many requests wait already.
    """
    global _shared
    if _shared is None:
        _shared = Lane("offload", threads=4, ordered=False)
    return await _shared.run(work, *args)
