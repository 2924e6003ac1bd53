"""`benchmarks/slow_clock.py`: a second of a slowed process is several of the wall's, whatever it asks."""

from __future__ import annotations

import subprocess
import sys

import pytest

MEASURED = """
import asyncio, time
wall = lambda: time.clock_gettime(time.CLOCK_MONOTONIC)  # as nobody has slowed it
from benchmarks.slow_clock import slow_down
slow_down(0.25)
import {runner}

async def main():
    loop = asyncio.get_running_loop()
    began = wall(), time.monotonic(), time.perf_counter(), time.time(), loop.time()
    await asyncio.sleep(0.02)
    done = loop.create_future()
    loop.call_at(loop.time() + 0.02, done.set_result, None)
    async with asyncio.timeout(60):
        await done
    ended = wall(), time.monotonic(), time.perf_counter(), time.time(), loop.time()
    print(*(late - early for early, late in zip(began, ended)))

{runner}.run(main())
"""


@pytest.mark.parametrize("runner", ["asyncio", "uvloop"])
def test_all_clocks_of_a_process_agree_and_go_slower_than_the_walls(runner: str) -> None:
    if runner == "uvloop":
        pytest.importorskip("uvloop")
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED.format(runner=runner)], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    wall_s, *own_s = map(float, ran.stdout.split())
    assert wall_s > 0.15, "0.04 s of the process are 0.16 s, and uvloop's timers are exact to a millisecond"
    for seconds in own_s:
        assert seconds == pytest.approx(wall_s / 4, abs=0.01)


def test_a_clock_that_would_not_go_is_refused() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.slow_clock", "0", "density"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 1
    assert "speed must be more than 0" in ran.stderr
