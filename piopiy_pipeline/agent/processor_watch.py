"""`ProcessorWatch`: whether call workers that take one call each leave the machine time for more of them.

Such a process cannot judge by itself: it has one call, and its event loop is idle when all processors are busy with its
siblings. So the supervisor adds up what they use, and forks no more while that is too much of what there is
(`OverloadControl`). Those that wait for a call already take it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping

from loguru import logger

from piopiy_pipeline.agent.linux_process import processor_s
from piopiy_pipeline.agent.overload_control import OverloadControl, ProcessTimes
from piopiy_pipeline.agent.worker_member import WorkerMember
from piopiy_pipeline.text import counted

__all__ = ["ProcessorWatch"]

LOOK_S = 0.25


class ProcessorWatch:
    """Follows the CPU time of an agent's call workers.

    Args:
        threshold: The share of all processors that they may use before no more are forked; None: without limit.
        cores: How many processors there are for them.
        on_free: Called when more may be forked again.
    """

    def __init__(self, threshold: float | None, *, cores: int, on_free: Callable[[], None]) -> None:
        self.full = False
        """Whether no more are to be forked."""
        self._control = OverloadControl(threshold, cores=cores)
        self._on_free = on_free
        self._used: dict[int, float] = {}
        self._total_s = 0.0
        self._serving: set[int] = set()

    def look(self, now: float, used: Mapping[int, float], serving: Iterable[int]) -> None:
        """Take a look.

        Args:
            now: The time in seconds.
            used: The CPU time of each process that there is, by its id, in seconds.
            serving: Which of them have a call.
        """
        self._total_s += sum(max(0.0, used_s - self._used.get(pid, 0.0)) for pid, used_s in used.items())
        self._used = dict(used)
        before, self._serving = self._serving, set(serving)
        for _ in self._serving - before:
            self._control.call_began(now)
        calls = len(self._serving)
        self._control.measure(now, ProcessTimes(0.0, 0.0, self._total_s), 0.0, calls)
        load = self._control.load(now, calls)
        full = load.takes != "all"
        if full != self.full:
            self.full = full
            if full:
                logger.warning(
                    "no more call workers are forked beside those of {}: {}", counted(calls, "call"), load.why
                )
            else:
                logger.info("call workers are forked again: {} in progress", counted(calls, "call"))
                self._on_free()

    async def run(self, members: Mapping[int, WorkerMember]) -> None:
        """Look at these call workers until this is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            living = [member for member in members.values() if member.pid]
            used = {member.pid: processor_s(member.pid) for member in living}
            self.look(time.monotonic(), used, [member.pid for member in living if member.calls])
