"""Runs a module of `benchmarks` as a program whose clock goes slower than the wall's.

    python -m benchmarks.slow_clock 0.25 density_agents --side stock --calls 20 ...

At 0.25 a second of the program takes four of the wall's: its timers, its event loop and what `time` says to it agree on
that, and audio comes and goes at a quarter of its pace. What the program does in one of its own seconds is the same,
and so is the CPU time of it. So a machine that is too slow for a number of calls can measure what they cost.

Processes that talk to one another need the same speed: their clocks agree then, too, because all begin with the
machine.
"""

from __future__ import annotations

import asyncio
import importlib.util
import runpy
import selectors
import sys
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

__all__ = ["slow_down"]


def slow_down(speed: float) -> None:
    """Let the clocks of this process go slower, before anything else has asked them.

    Args:
        speed: More than 0, at most 1: how many seconds of this process are a second of the wall's.
    """
    if not 0 < speed <= 1:
        raise ValueError(f"speed must be more than 0 and at most 1, not {speed:g}")
    monotonic, perf_counter, wall = time.monotonic, time.perf_counter, time.time
    began = round(wall() - monotonic())  # when the machine started, to the second: the same in every process
    time.monotonic = lambda: monotonic() * speed
    time.perf_counter = lambda: perf_counter() * speed
    time.time = lambda: began + monotonic() * speed
    asyncio.run = _run_with(partial(_slow_asyncio_loop, speed))
    if importlib.util.find_spec("uvloop"):
        import uvloop

        uvloop.run = _run_with(_slow_uvloop(uvloop.Loop, speed))


def _run_with(new_loop: Any) -> Any:
    def run(main: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(main)

    return run


def _slow_asyncio_loop(speed: float) -> asyncio.AbstractEventLoop:
    """Return a loop of asyncio, which asks `time` for the time, and waits for the wall's as long as it should."""

    class SlowSelector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            return super().select(timeout and timeout / speed)

    return asyncio.SelectorEventLoop(SlowSelector())


def _slow_uvloop(kind: Any, speed: float) -> Any:
    """Return a class of uvloop's loops, which have a clock of their own."""

    class SlowLoop(kind):
        def time(self) -> float:
            return float(super().time()) * speed

        def call_later(self, delay: float, *args: Any, **kwargs: Any) -> Any:
            return super().call_later(delay / speed, *args, **kwargs)

        def call_at(self, when: float, *args: Any, **kwargs: Any) -> Any:
            return super().call_later((when - self.time()) / speed, *args, **kwargs)

    return SlowLoop


if __name__ == "__main__":
    slow_down(float(sys.argv[1]))
    module = f"benchmarks.{sys.argv[2]}"
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
