"""Places on the workers that all calls share, and what becomes of a request whose worker dies."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from piopiy_pipeline.services.workers import worker_pipe
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import WorkerLost, WorkerSlow

MODULE = "tests.support.echo_worker"


def test_a_lease_goes_to_the_worker_with_the_fewest() -> None:
    pool = WorkerPool(MODULE, name="pool", size=2)
    first, second = pool.lease(), pool.lease()
    assert first.worker is not second.worker
    first.release()
    first.release()
    assert pool.lease().worker is first.worker
    assert pool.leases == 2
    pool.close()


@pytest.mark.parametrize("size", [1, 2])
def test_what_was_asked_of_a_worker_that_dies_another_one_answers(size: int, tmp_path: Path) -> None:
    pool = WorkerPool(MODULE, name="pool", size=size)
    lease = pool.lease()
    assert asyncio.run(lease.call("die_once", str(tmp_path / "died"))) == pool.workers[-1].pid
    assert lease.worker is pool.workers[-1]
    assert pool.leases == 1
    lease.release()
    assert pool.leases == 0
    pool.close()


def test_a_request_that_takes_too_long_is_asked_once() -> None:
    pool = WorkerPool(MODULE, name="pool", size=1)
    worker = pool.workers[0]
    worker.reply_timeout_s = 0.3

    async def run() -> None:
        lease = pool.lease()
        await lease.call("echo", 0)
        with pytest.raises(WorkerSlow):
            await lease.call("compute", 60.0)

    asyncio.run(run())
    assert worker.generation == 1
    pool.close()


@pytest.mark.parametrize("size", [1, 2])
def test_what_was_asked_of_a_worker_that_spins_another_one_answers(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pipe, "LEAST_S", 0.3)
    pool = WorkerPool(MODULE, name="pool", size=size)
    lease = pool.lease()
    assert asyncio.run(lease.call("spin_once", str(tmp_path / "spun"))) == pool.workers[-1].pid
    assert pool.leases == 1
    pool.close()


def test_a_short_request_with_which_two_workers_spin_fails_and_is_asked_by_nobody_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pipe, "LEAST_S", 0.3)
    pool = WorkerPool(MODULE, name="pool", size=1)

    async def run() -> object:
        lease = pool.lease()
        with pytest.raises(WorkerSlow, match="no answer in time"):
            await lease.call("compute_short", 60.0)
        assert pool.workers[0].generation == 2
        return await lease.call("echo", "here")

    assert asyncio.run(run()) == "here"
    pool.close()


def test_a_request_of_which_two_workers_die_fails_and_the_next_one_is_answered() -> None:
    pool = WorkerPool(MODULE, name="pool", size=1)

    async def run() -> object:
        lease = pool.lease()
        with pytest.raises(WorkerLost):
            await lease.call("die")
        assert pool.workers[0].generation == 2
        return await lease.call("echo", "here")

    assert asyncio.run(run()) == "here"
    pool.close()
