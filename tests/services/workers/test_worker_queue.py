"""Which request goes first, and what becomes of one whose worker dies. With real processes."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.services.workers import worker_pipe
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import WorkerFailed, WorkerLost, WorkerSlow
from piopiy_pipeline.services.workers.worker_queue import MAX_WAITING, Urgency, queue_of

MODULE = "tests.support.echo_worker"


@pytest.fixture
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(MODULE, name="queue-test", size=1)
    yield pool
    pool.close()


def _noting(order: list[Any], name: object) -> Callable[[object], None]:
    return lambda _: order.append(name)


def test_a_final_overtakes_what_was_asked_before_it(pool: WorkerPool) -> None:
    async def run() -> list[str]:
        queue = queue_of(pool)
        order: list[Any] = []
        asked = {
            "first": queue.ask(Urgency.PARTIAL, "echo", 0),  # goes at once: the worker is idle
            "partial": queue.ask(Urgency.PARTIAL, "echo", 1),
            "ahead": queue.ask(Urgency.AHEAD, "echo", 2),
            "final": queue.ask(Urgency.FINAL, "echo", 3),
        }
        for name, answer in asked.items():
            answer.add_done_callback(_noting(order, name))
        assert not queue.idle
        await asyncio.gather(*asked.values())
        await asyncio.sleep(0)
        assert queue.idle
        return order

    assert asyncio.run(run()) == ["first", "final", "ahead", "partial"]


def test_what_was_asked_ahead_can_be_hurried_and_what_is_cancelled_is_not_asked(pool: WorkerPool) -> None:
    async def run() -> list[int]:
        queue = queue_of(pool)
        order: list[Any] = []
        answers = [queue.ask(Urgency.AHEAD, "echo", number) for number in range(4)]
        for number, answer in enumerate(answers):
            answer.add_done_callback(_noting(order, number))
        answers[1].cancel()
        queue.hurry(answers[3])
        await asyncio.gather(*answers, return_exceptions=True)
        await asyncio.sleep(0)
        return order

    assert asyncio.run(run()) == [1, 0, 3, 2]


def test_a_request_whose_worker_dies_is_asked_once_more(pool: WorkerPool) -> None:
    async def run() -> object:
        queue = queue_of(pool)
        assert await queue.ask(Urgency.FINAL, "echo", 1) == 1
        pid = pool.workers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return await queue.ask(Urgency.FINAL, "echo", 2)

    assert asyncio.run(run()) == 2


def test_a_worker_that_is_started_again_is_asked_only_if_no_other_is_idle(tmp_path: Path) -> None:
    pool = WorkerPool(MODULE, name="queue-test", size=2)

    async def run() -> list[object]:
        queue = queue_of(pool)
        await asyncio.gather(*(worker.call("echo", 0) for worker in pool.workers))
        died = await queue.ask(Urgency.FINAL, "die_once", str(tmp_path / "died"))
        return [died, *(worker.generation for worker in pool.workers)]

    died, first, second = asyncio.run(run())
    assert died == pool.workers[0].pid, "the other one, which ran already"
    assert (first, second) == (1, 1)
    pool.close()


def test_a_request_that_takes_too_long_is_not_asked_again_and_holds_nobody_up_twice(pool: WorkerPool) -> None:
    pool.workers[0].reply_timeout_s = 1.0  # a busy machine answers the other two within it

    async def run() -> object:
        queue = queue_of(pool)
        assert await queue.ask(Urgency.FINAL, "echo", 1) == 1
        long = queue.ask(Urgency.FINAL, "compute", 60.0)
        next_one = queue.ask(Urgency.FINAL, "echo", 2)
        with pytest.raises(WorkerSlow, match="no answer in time"):
            await long
        return await next_one

    assert asyncio.run(run()) == 2
    assert pool.workers[0].generation == 2, "one was killed, and the next one was not"


def test_a_short_request_whose_worker_spins_is_asked_once_more(
    pool: WorkerPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pipe, "LEAST_S", 0.3)

    async def run() -> tuple[object, int]:
        queue = queue_of(pool)
        assert await queue.ask(Urgency.FINAL, "echo", 1) == 1
        spun = await queue.ask(Urgency.FINAL, "spin_once", str(tmp_path / "spun"))
        with pytest.raises(WorkerSlow, match="no answer in time"):
            await queue.ask(Urgency.FINAL, "compute_short", 60.0)
        return spun, pool.workers[0].generation

    spun, generations = asyncio.run(run())
    assert spun
    assert generations == 3, "the first one spun once, and of the second request two processes were asked"


def test_a_request_that_kills_two_workers_fails_and_the_next_is_answered(pool: WorkerPool) -> None:
    async def run() -> object:
        queue = queue_of(pool)
        with pytest.raises(WorkerLost):
            await queue.ask(Urgency.FINAL, "die")
        with pytest.raises(WorkerFailed):
            await queue.ask(Urgency.FINAL, "fail")
        return await queue.ask(Urgency.FINAL, "echo", "here")

    assert asyncio.run(run()) == "here"


def test_too_many_requests_are_refused(pool: WorkerPool) -> None:
    async def run() -> None:
        queue = queue_of(pool)
        answers = [queue.ask(Urgency.PARTIAL, "echo", number) for number in range(MAX_WAITING + 1)]
        with pytest.raises(BlockingIOError):
            queue.ask(Urgency.FINAL, "echo", 0)
        answers[-1].cancel()
        answers.append(queue.ask(Urgency.FINAL, "echo", -1))
        await asyncio.gather(*answers, return_exceptions=True)

    asyncio.run(run())
