"""Pools that one process has for others: real worker processes, behind real streams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from piopiy_pipeline.services.workers import hosted_worker, worker_pool
from piopiy_pipeline.services.workers.hosted_worker import hosted_pool
from piopiy_pipeline.services.workers.pool_host import PoolHost
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost, WorkerSlow
from piopiy_pipeline.services.workers.worker_queue import Urgency, queue_of
from tests.support.calls import eventually

MODULE = "tests.support.echo_worker"


class Hosting:
    """A host in this loop, and pools of other processes as these would have them."""

    def __init__(self) -> None:
        self.host = PoolHost()
        self.gone = False
        """Whether the host has died, and nobody knows it: its end of a stream closes at once."""
        self.streams: list[socket.socket] = []
        self.pools: list[WorkerPool] = []
        self._loop = asyncio.get_running_loop()

    def connect(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        self.streams.append(theirs)
        if self.gone:
            theirs.close()
        else:
            self._loop.call_soon_threadsafe(self.host.add, theirs)
        return ours

    def pool(self) -> WorkerPool:
        self.pools.append(hosted_pool(self.connect, MODULE, "echo", 1))
        return self.pools[-1]


@asynccontextmanager
async def hosting() -> AsyncIterator[Hosting]:
    place = Hosting()
    try:
        yield place
    finally:
        for pool in place.pools:
            pool.close()
        await place.host.close()


def test_two_processes_share_one_worker_and_each_has_its_answers() -> None:
    async def story() -> None:
        async with hosting() as place:
            workers = [place.pool().workers[0] for _ in range(2)]
            big = bytes(3_000_000)
            answers = await asyncio.gather(
                *(worker.call("echo", (n, big)) for n, worker in enumerate(workers))
            )
            assert answers == [(0, big), (1, big)]
            (shared,) = worker_pool.shared_pool(MODULE, name="echo", size=1).workers
            assert shared.generation == 1
            with pytest.raises(WorkerFailed, match="as asked"):
                await workers[0].call("fail")
            assert await workers[0].call("echo", "again") == "again"

    asyncio.run(story())


def test_what_another_process_had_loaded_is_loaded_ahead() -> None:
    async def story() -> None:
        async with hosting() as place:
            (worker,) = worker_pool.shared_pool(MODULE, name="echo", size=1).workers
            worker.first = ("echo", "a model")
            plans = [plan for plan in worker_pool.shared_pool_plans() if plan.module == MODULE]
            assert plans == [worker_pool.PoolPlan(MODULE, "echo", 1, ("echo", "a model"))]
            worker_pool.close_pools()
            await place.host.load([*plans, worker_pool.PoolPlan(MODULE + "_gone", "gone", 1, ("load",))])
            (worker,) = worker_pool.shared_pool(MODULE, name="echo", size=1).workers
            assert worker.generation == 1
            assert await place.pool().workers[0].call("echo", 1) == 1
            assert worker.generation == 1

    asyncio.run(story())


def test_a_worker_that_dies_of_a_request_is_lost_for_that_one_only() -> None:
    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            with pytest.raises(WorkerLost):
                await worker.call("die")
            assert await worker.call("echo", 1) == 1
            assert worker.generation == 1, "over the same connection"

    asyncio.run(story())


def test_a_worker_that_takes_too_long_is_slow_for_who_has_asked_too() -> None:
    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            await worker.call("echo", 0)
            (shared,) = worker_pool.shared_pool(MODULE, name="echo", size=1).workers
            shared.reply_timeout_s = 0.3
            with pytest.raises(WorkerSlow, match="no answer in time"):
                await worker.call("compute", 60.0)
            assert shared.generation == 1

    asyncio.run(story())


def test_the_next_host_is_waited_for_and_asked_the_same() -> None:
    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            assert await worker.call("echo", 1) == 1
            await place.host.close()
            place.gone = True
            asked = asyncio.ensure_future(worker.call("echo", 2))
            await eventually(lambda: len(place.streams) >= 3, 10)  # two of them have closed at once
            assert not asked.done()
            place.host, place.gone = PoolHost(), False
            assert await asked == 2
            assert worker.generation == 2

    asyncio.run(story())


def test_a_host_that_does_not_come_is_waited_for_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_worker, "HOST_S", 0.2)

    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            place.gone = True
            with pytest.raises(WorkerLost, match="the process that has echo-0 was lost"):
                await worker.call("echo", 1)
            assert worker.pid is None
            place.gone = False
            assert await worker.call("echo", 2) == 2

    asyncio.run(story())


def test_a_host_that_is_lost_twice_with_a_request_is_not_asked_again() -> None:
    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            await worker.call("echo", 0)
            asked = asyncio.ensure_future(worker.call("wait", 60))
            for _ in range(2):
                real = queue_of(worker_pool.shared_pool(MODULE, name="echo", size=1))
                await eventually(lambda real=real: not real.idle, 10)  # type: ignore[misc]
                place.host, gone = PoolHost(), place.host
                await gone.close()
            with pytest.raises(WorkerLost):
                await asked
            assert len(place.streams) == 2

    asyncio.run(story())


def test_closing_ends_a_request_under_way_and_leaves_the_number_of_its_stream_to_it() -> None:
    async def story() -> None:
        async with hosting() as place:
            worker = place.pool().workers[0]
            await worker.call("echo", 0)
            real = queue_of(worker_pool.shared_pool(MODULE, name="echo", size=1))
            asked = asyncio.ensure_future(worker.call("wait", 20.0))
            await eventually(lambda: not real.idle, 10)
            worker.close()
            ours, theirs = socket.socketpair()  # would have its number
            with ours, theirs:
                theirs.sendall(b"not an answer")
                with pytest.raises(WorkerLost, match="closed"):
                    await asyncio.wait_for(asked, 10)
                assert ours.recv(100) == b"not an answer"
            await eventually(lambda: worker.pid is None, 10)
            worker_pool.close_pools()

    asyncio.run(story())


@pytest.mark.realtime
def test_what_is_urgent_overtakes_what_other_processes_asked_for() -> None:
    """In real time, because which of two processes asks first is theirs."""

    async def story() -> None:
        async with hosting() as place:
            first = place.pool().workers[0]
            await first.call("echo", 0)
            done: list[str] = []
            real = queue_of(worker_pool.shared_pool(MODULE, name="echo", size=1))
            slow = asyncio.ensure_future(first.call("wait", 2.0))
            await eventually(lambda: not real.idle, 10)
            late = queue_of(place.pool()).ask(Urgency.PARTIAL, "echo", "partial")
            late.add_done_callback(lambda answer: done.append(answer.result()))
            await eventually(lambda: len(real._waiting) == 1, 10)
            soon = queue_of(place.pool()).ask(Urgency.FINAL, "echo", "final")
            soon.add_done_callback(lambda answer: done.append(answer.result()))
            await asyncio.gather(slow, late, soon)
            assert done == ["final", "partial"]

    asyncio.run(story())


def test_a_process_that_ends_takes_its_request_with_it() -> None:
    async def story() -> None:
        async with hosting() as place:
            stays, ends = place.pool().workers[0], place.pool().workers[0]
            await stays.call("echo", 0)
            real = queue_of(worker_pool.shared_pool(MODULE, name="echo", size=1))
            slow = asyncio.ensure_future(stays.call("wait", 0.5))
            await eventually(lambda: not real.idle, 10)
            (shared,) = worker_pool.shared_pool(MODULE, name="echo", size=1).workers
            dying = asyncio.ensure_future(ends.call("die"))
            await eventually(lambda: len(real._waiting) == 1, 10)
            assert ends._stream is not None  # type: ignore[attr-defined]
            ends._closed = True  # or it would ask again
            ends._stream.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]  # what its end does
            with pytest.raises(WorkerLost):
                await dying
            await slow
            assert await stays.call("echo", 1) == 1
            assert shared.generation == 1, "nobody was asked to die"

    asyncio.run(story())
