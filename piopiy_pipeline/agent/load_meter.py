"""`LoadMeter`: measures how busy this process is, by a timer of its event loop: the shell of `OverloadControl`."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable

from piopiy_pipeline.agent.linux_process import processor_wait_s
from piopiy_pipeline.agent.overload_control import OverloadControl, ProcessTimes

__all__ = ["LoadMeter", "usable_cores"]

SLACK_S = 0.05
"""A measurement that may be seldom goes along with what wakes the process, so much earlier or later than it is due."""


def usable_cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class LoadMeter:
    """Measures the process of the running event loop from now on, until `close`.

    Args:
        control: Takes the measurements.
        calls: Returns how many calls there are.
        on_measured: Called after each measurement.
    """

    def __init__(
        self, control: OverloadControl, *, calls: Callable[[], int], on_measured: Callable[[], None]
    ) -> None:
        self._control = control
        self._calls = calls
        self._on_measured = on_measured
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_native_id()
        self._due = time.monotonic()
        self._timer = self._loop.call_soon(self._measure)

    def close(self) -> None:
        """Measure no more."""
        self._timer.cancel()

    def awake(self) -> None:
        """Measure now if that is almost due, because the process is awake: a wake-up costs more than a measurement.
        Call it in the loop.
        """
        if self._may_wait and time.monotonic() >= self._due - 2 * SLACK_S:
            self._timer.cancel()
            self._measure()

    @property
    def _may_wait(self) -> bool:
        return self._control.period_s >= self._control.RARE_S

    def _measure(self) -> None:
        now = time.monotonic()  # the clock of uvloop stands still while a callback works
        times = ProcessTimes(
            loop_s=time.thread_time(), waited_s=processor_wait_s(self._thread), process_s=time.process_time()
        )
        self._control.measure(now, times, max(0.0, now - self._due), self._calls())
        wait_s = self._control.period_s + (SLACK_S if self._may_wait else 0.0)
        self._due = now + wait_s
        self._timer = self._loop.call_later(wait_s, self._measure)
        self._on_measured()
