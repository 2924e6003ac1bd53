"""How much a real loop computes in each turn: looked at from its own thread here, whose CPU time it is."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import pytest

from piopiy_pipeline.agent.loop_work import BUSY_S, BusyTime, LoopWork

pytestmark = pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="the system does not tell a thread's CPU time"
)


def compute(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def test_turns_are_measured_in_cpu_time_while_the_loop_has_no_rest() -> None:
    async def story() -> list[float]:
        work = LoopWork(asyncio.get_running_loop())
        turns: list[float] = []
        for _ in range(int(BUSY_S / 0.03) + 5):
            compute(0.03)
            time.sleep(0.01)  # noqa: ASYNC251  what a loop waits for is not what it computes
            turns += work.look(0.03)
            await asyncio.sleep(0)
        assert work.busy
        return turns

    turns = asyncio.run(story())
    assert len(turns) >= 3
    assert all(0.03 <= turn_s < 0.04 for turn_s in turns)


def test_a_loop_that_rests_is_not_measured_and_not_kept_turning() -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        work = LoopWork(loop)
        for _ in range(int(BUSY_S / 0.02)):  # without a rest
            compute(0.02)
            work.look(0.02)
        assert work.busy
        for _ in range(10):
            await asyncio.sleep(0)
        assert not loop._ready  # type: ignore[attr-defined]  # nothing waits for its turn
        assert work.look(1.0) == []
        assert not work.busy

    asyncio.run(story())


def looks_at(
    works: float, *, share: float, slice_s: float, seconds: float, seed: int = 1
) -> Iterator[tuple[float, float, float]]:
    """Yield the times of looks at a thread, and what they find: how long it has computed since the last one, and how
    long it has not waited for a processor, as far as the kernel tells that: it counts a wait when it is over.

    Args:
        works: For which part of the time that it has it computes.
        share: Which part of the time it has.
        slice_s: For how long it has a processor at a time, about, in seconds.
        seconds: For how long it is looked at.
        seed: Of chance.
    """
    rng = random.Random(seed)
    now = used_s = waited_s = 0.0
    look_at, before_at, used_before_s, waited_before_s = 0.1, 0.0, 0.0, 0.0
    while now < seconds:
        run_s = slice_s * rng.uniform(0.3, 1.7)
        wait_s = run_s * (1 - share) / share * rng.uniform(0.3, 1.7)
        while look_at < now + run_s + wait_s:
            used_now_s = used_s + min(look_at - now, run_s) * works
            since_s, new_wait_s = look_at - before_at, waited_s - waited_before_s
            yield look_at, used_now_s - used_before_s, since_s - new_wait_s
            before_at, used_before_s, waited_before_s = look_at, used_now_s, waited_s
            look_at += rng.uniform(0.05, 0.06)
        now, used_s, waited_s = now + run_s + wait_s, used_s + run_s * works, waited_s + wait_s


@pytest.mark.parametrize("slice_s", [0.003, 0.012, 0.04])
@pytest.mark.parametrize("share", [1.0, 0.7, 0.5, 0.3])
def test_a_loop_without_a_rest_is_found_where_processors_are_shared(share: float, slice_s: float) -> None:
    busy_time = BusyTime()
    for now, used_s, had_s in looks_at(1.0, share=share, slice_s=slice_s, seconds=30.0):  # noqa: B007
        busy_time.look(used_s, had_s)
        if busy_time.busy_s >= 5.0:
            break
    assert now < 5.0 / share * 1.4, "five seconds of those that it had"
    assert busy_time.busy


@pytest.mark.parametrize("slice_s", [0.003, 0.012, 0.04])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.3])
def test_one_that_rests_a_third_of_the_time_is_not(share: float, slice_s: float) -> None:
    busy_time, busy_looks, looks = BusyTime(), 0, 0
    for _, used_s, had_s in looks_at(0.6, share=share, slice_s=slice_s, seconds=60.0):
        busy_time.look(used_s, had_s)
        busy_looks, looks = busy_looks + busy_time.busy, looks + 1
        assert busy_time.busy_s < 1.0
    assert busy_looks < 0.1 * looks


def test_a_loop_that_rests_again_is_known_soon() -> None:
    busy_time = BusyTime()
    for _ in range(100):
        busy_time.look(0.1, 0.1)
    assert busy_time.busy_s == pytest.approx(10.0)
    for _ in range(2):
        busy_time.look(0.01, 0.1)
    assert not busy_time.busy
