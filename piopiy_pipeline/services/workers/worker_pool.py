"""`WorkerPool`: some workers of one module, which all calls of a process share."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.services.workers.worker_processes import Worker, WorkerLost

__all__ = [
    "Lease",
    "PoolPlan",
    "WorkerPool",
    "close_pools",
    "make_shared_pools",
    "shared_pool",
    "shared_pool_plans",
]


class Lease:
    """A caller's place on one worker of a pool. `release` gives it back, and may be called more than once."""

    def __init__(self, pool: WorkerPool, worker: Worker) -> None:
        self.worker = worker
        self._pool: WorkerPool | None = pool

    async def call(self, method: str, *args: Any) -> Any:
        """Have the worker run a method that needs no state, and return its result.

        If the worker dies, hangs or spins, another one of the pool is asked once more, or the next process of this one
        where there is no other. The place is at that one then.

        Args:
            method: The name of the method.
            args: Its arguments, which are pickled.

        Raises:
            WorkerLost: The process died or hung, and so did the next one; `WorkerSlow`: it did not answer in time.
            WorkerFailed: The method raised an error.
            BlockingIOError: Too many requests wait already.
        """
        try:
            return await self.worker.call(method, *args)
        except WorkerLost as error:
            if self._pool is None or self.worker.closed or not error.asked_again:
                raise
            logger.debug("{}: it is asked once more", error)
            self.worker = self._pool.move(self.worker)
            return await self.worker.call(method, *args)

    def release(self) -> None:
        """Give the place back. It may be called more than once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(self.worker)


class WorkerPool:
    """Some workers of one module, shared by all calls of the process. A lease goes to the worker with the
    fewest leases.
    """

    def __init__(
        self, module: str, *, name: str, size: int, make: Callable[[int], Worker] | None = None
    ) -> None:
        """Args:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has.
        make: Makes the worker of a number. None: processes of this one's.
        """
        if size < 1:
            raise ValueError(f"a pool of {size} workers: at least 1 is needed")
        make = make or (lambda number: Worker(module, name=f"{name}-{number}"))
        self.workers = [make(number) for number in range(size)]
        self._leases = dict.fromkeys(range(size), 0)

    def lease(self) -> Lease:
        """Take a place on the worker that has the fewest leases."""
        return Lease(self, self._take())

    def move(self, worker: Worker) -> Worker:
        """Give a place on one worker back, and take one on another, if the pool has one. `Lease.call` calls it."""
        self.give_back(worker)
        return self._take(besides=worker)

    def _take(self, besides: Worker | None = None) -> Worker:
        number = min(self._leases, key=lambda each: (self.workers[each] is besides, self._leases[each], each))
        self._leases[number] += 1
        return self.workers[number]

    def give_back(self, worker: Worker) -> None:
        """Give a place back. `Lease.release` calls it."""
        self._leases[self.workers.index(worker)] -= 1

    @property
    def leases(self) -> int:
        """The number of places that are taken."""
        return sum(self._leases.values())

    def close(self) -> None:
        """End all workers. May be called more than once."""
        for worker in self.workers:
            worker.close()


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a shared pool is, so that another process can have the same.

    Attributes:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has.
        first: What each is asked first, such as to load a model (`Worker.first`).
    """

    module: str
    name: str
    size: int
    first: tuple[str, *tuple[Any, ...]] | None


_pools: dict[str, WorkerPool] = {}
_make_pool: Callable[[str, str, int], WorkerPool] | None = None


def make_shared_pools(make: Callable[[str, str, int], WorkerPool] | None) -> None:
    """Begin anew with `shared_pool` in a process that was just forked.

    Args:
        make: Makes the pool of a module, with a name and a size, if it is to be that of another process; None for
            pools of this one's.
    """
    global _make_pool
    _make_pool = make
    _pools.clear()  # those of the process that this one was forked from are not its to close


def shared_pool(module: str, *, name: str, size: int) -> WorkerPool:
    """Return this process's pool of workers of a module, and make it at the first call.

    Args:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has. Only the first call's size counts.
    """
    pool = _pools.get(module)
    if pool is None:
        make = _make_pool or (lambda module, name, size: WorkerPool(module, name=name, size=size))
        pool = _pools[module] = make(module, name, size)
    return pool


def shared_pool_plans() -> list[PoolPlan]:
    """Return what the shared pools of this process are."""
    return [
        PoolPlan(module, pool.workers[0].name.rpartition("-")[0], len(pool.workers), pool.workers[0].first)
        for module, pool in _pools.items()
    ]


@atexit.register
def close_pools() -> None:
    """End all shared workers. A later `shared_pool` makes a new pool."""
    while _pools:
        _pools.popitem()[1].close()
