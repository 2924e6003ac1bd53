"""What the measured processes of `density` share, whatever they are made of: how they measure themselves."""

from __future__ import annotations

import asyncio
import cProfile
import gc
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

from benchmarks.instant_script import Tally
from benchmarks.loop_lag import LoopLag

__all__ = ["END_LIMIT_S", "Meter", "say", "unless_it_fails"]

SETTLE_S = 2.0
"""From the moment at which all calls are up to the beginning of the measurement."""
ALL_UP_LIMIT_S = 90.0
END_LIMIT_S = 30.0


def say(**values: Any) -> None:
    """Print one JSON line for the process that started this one."""
    print(json.dumps(values), flush=True)


class Meter:
    """Counts calls and the CPU time of this process (all its threads)."""

    def __init__(self, calls: int, seconds: float, tally: Tally) -> None:
        self._calls = calls
        self._seconds = seconds
        self._tally = tally
        self._up = 0
        self._ended = 0
        self._call_seconds = 0.0
        self._changed = asyncio.Event()
        gc.collect()
        self._cpu_at_start = time.process_time()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call from its first to its last moment."""
        began = time.monotonic()
        self._up += 1
        self._changed.set()
        try:
            yield
        finally:
            self._up -= 1
            self._ended += 1
            self._call_seconds += time.monotonic() - began
            self._changed.set()

    async def measure(self, profile: Path | None, on_begin: Callable[[], None] | None = None) -> None:
        """Wait until all calls are up, and print what they cost for a while.

        Args:
            profile: Where a profile goes, if one is wanted.
            on_begin: Called when the measurement begins.
        """
        async with asyncio.timeout(ALL_UP_LIMIT_S):
            while self._up < self._calls:
                self._changed.clear()
                await self._changed.wait()
        lag = LoopLag()
        await asyncio.sleep(SETTLE_S)
        lag.begin()
        if on_begin is not None:
            on_begin()
        profiler = cProfile.Profile() if profile else None
        if profiler:
            profiler.enable()
        tally, cpu, began = copy(self._tally), time.process_time(), time.monotonic()
        await asyncio.sleep(self._seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        if profiler and profile:
            profiler.disable()
            profiler.dump_stats(profile)
        if self._up < self._calls:
            raise RuntimeError(f"{self._calls - self._up} of {self._calls} calls ended too early")
        say(
            steady_ms=round(cpu / wall / self._calls * 1e3, 2),
            core=round(cpu / wall, 3),
            lag_p99_ms=lag.quantile_ms(0.99),
            lag_p95_ms=lag.quantile_ms(0.95),
            did=self._tally.since(tally),
            threads=threading.active_count(),
            tasks=len(asyncio.all_tasks()),
        )

    async def all_ended(self) -> None:
        """Wait until all calls have ended, and print what they cost altogether."""
        async with asyncio.timeout(END_LIMIT_S):
            while self._ended < self._calls:
                self._changed.clear()
                await self._changed.wait()
        cpu = time.process_time() - self._cpu_at_start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(
            total_ms=round(cpu / self._call_seconds * 1e3, 2),
            peak_mb=round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
        )


async def unless_it_fails(work: Coroutine[Any, Any, Any], beside: asyncio.Future[Any]) -> None:
    """Do some work, and raise at once what fails beside it."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, beside}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await beside
            raise RuntimeError("the agent ended before the measurement did")
        await task
    finally:
        task.cancel()
