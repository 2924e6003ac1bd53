"""How much a real loop computes in each turn: looked at from its own thread here, whose CPU time it is."""

from __future__ import annotations

import asyncio
import time

import pytest

from piopiy_pipeline.agent.loop_work import BUSY_LOOKS, LoopWork

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
        for _ in range(BUSY_LOOKS + 5):
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
        for _ in range(BUSY_LOOKS):  # without a rest
            compute(0.002)
            work.look(0.002)
        assert work.busy
        for _ in range(10):
            await asyncio.sleep(0)
        assert not loop._ready  # type: ignore[attr-defined]  # nothing waits for its turn
        assert work.look(1.0) == []
        assert not work.busy

    asyncio.run(story())
