"""`HangWatch`: finds call workers that hang, and kills those that do not turn any more, for good.

A worker's own watchdog names code that blocks its loop, and ends it. It is a thread of the worker, so it cannot run
while native code keeps Python's lock, and nobody in the process can. The gateway moves such calls away, and the one
that did it would hang the next worker. So the watchdog tells twice a second that it runs, and who does not for two
seconds hangs: the gateway is told as of a death. A process that is stopped does not hang, nor does one that waits for a
processor. At the author's limit for a call that blocks, or after half a minute, it is killed.

The process that has the models says twice a second that its loop turns. It has no calls of its own, and all calls wait
for it: if it says nothing it is killed as soon as a worker of its own would be (`HangLooks`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from piopiy_pipeline.agent.linux_process import ThreadsTimes, is_stopped, threads_times
from piopiy_pipeline.agent.worker_member import WorkerMember
from piopiy_pipeline.services.workers.worker_pipe import LOOK_S, HangLooks

__all__ = ["HANGS_S", "RUNS_S", "TURN_S", "HangWatch", "ProcessLook"]

TURN_S = 2.0
"""How often a call worker says that its loop turns."""
RUNS_S = 0.5
"""How often its watchdog says that it runs, while there are calls; and how often the process with the models says that
its loop turns."""
HANGS_S = 2.0
"""After so much silence of its watchdog it hangs. Its calls have moved after one, by the missing heartbeats."""
QUIET_S = 0.9
"""After so much it is looked at, so that it is known how long it waits for processors from then on."""
WAITS_SHARE = 0.3
"""If a thread of it waits for a processor for this part of the time, the machine is busy: what keeps the lock gets on
slowly, or the watchdog does not get on. Threads that wait for the lock wake up 200 times a second to look, and wait for
a processor each time; so they are not added up, and one that sleeps for most of the time does not count.
"""
WANTS_SHARE = 0.8
"""Who runs or waits for a processor for less of the time than this has slept."""
HUNG_S = 30.0
"""After so much silence of its loop it is killed. Watchdog and gateway act within seconds: this is for what they cannot
end."""


@dataclass(frozen=True, slots=True)
class ProcessLook:
    """How a process is looked at.

    Attributes:
        is_stopped: Returns for its id whether a signal has stopped it.
        threads: Returns for each of its threads how long it has run, and waited for a processor, in seconds.
    """

    is_stopped: Callable[[int], bool] = is_stopped
    threads: Callable[[int], ThreadsTimes] = threads_times


class HangWatch:
    """Finds call workers that say nothing.

    Args:
        on_hung: Called once for each whose loop has not turned for `HUNG_S`, or that hangs for `limit_s`, with that
            number of seconds.
        on_hangs: Called for each of which nothing has run for `HANGS_S`, with that number, once until it runs again.
        limit_s: How long a call may block its worker, in seconds.
        processes: How processes are looked at.
    """

    def __init__(
        self,
        on_hung: Callable[[WorkerMember, float], None],
        on_hangs: Callable[[WorkerMember, float], None],
        *,
        limit_s: float = HUNG_S,
        processes: ProcessLook = ProcessLook(),
    ) -> None:
        self._on_hung = on_hung
        self._on_hangs = on_hangs
        self._limit_s = limit_s
        self._processes = processes
        self._looked_at = time.monotonic()
        self._blind_until = self._blind_long_until = 0.0  # until then this process has not looked
        self._quiet: dict[
            int, tuple[float, ThreadsTimes]
        ] = {}  # since when a silent one is looked at, and its times
        self._models: tuple[float, HangLooks] | None = None  # since when it is silent

    async def run(self, members: Callable[[], Mapping[int, WorkerMember]]) -> None:
        """Look at these processes until this is cancelled.

        Args:
            members: Returns which there are, by number.
        """
        while True:
            await asyncio.sleep(LOOK_S)
            self.look(members(), time.monotonic())

    def look(self, members: Mapping[int, WorkerMember], now: float) -> None:
        """Look at these call workers. If nobody has looked for long, it was this process that hung.

        Args:
            members: The call workers, and the process with the models if there is one.
            now: The time in seconds.
        """
        since_s, self._looked_at = now - self._looked_at, now
        if since_s > 3 * TURN_S:
            self._blind_long_until = now
        if since_s > 2 * LOOK_S:
            self._blind_until = now
        for member in list(members.values()):
            if member.has_models:
                self._look_at_models(member, now)
            if member.ready_s is None or member.killed_for is not None:
                continue
            silent_s = now - max(member.turned_at, self._blind_long_until)
            if silent_s > (self._limit_s if member.hangs else HUNG_S):
                self._on_hung(member, silent_s)
            else:
                self._look_whether_it_hangs(member, now)
        for number in self._quiet.keys() - members.keys():
            del self._quiet[number]

    def _look_at_models(self, member: WorkerMember, now: float) -> None:
        if not member.pid or member.killed_for is not None:
            return
        said_at = max(member.ran_at, member.turned_at, member.asked_at)
        if self._models is None or self._models[0] != said_at:
            self._models = said_at, HangLooks(member.pid)
        try:
            self._models[1].look()
        except TimeoutError:
            self._on_hung(member, now - said_at)

    def _look_whether_it_hangs(self, member: WorkerMember, now: float) -> None:
        said_at = max(member.ran_at, member.turned_at)
        if member.hangs and now - said_at >= QUIET_S:
            return  # what is known of it is told, and nothing of it has run since
        silent_s = now - max(said_at, self._blind_until)
        if not member.calls or silent_s < QUIET_S:
            self._quiet.pop(member.number, None)
            member.hangs = False
            return
        times = self._processes.threads(member.pid)
        since, before = self._quiet.setdefault(member.number, (now, times))
        if self._processes.is_stopped(member.pid):
            member.ran_at = now  # it is looked at anew
            del self._quiet[member.number]
        elif silent_s >= HANGS_S and _wants_a_processor(before, times, now - since):
            return
        elif silent_s >= HANGS_S:
            member.hangs = True
            self._on_hangs(member, silent_s)


def _wants_a_processor(before: ThreadsTimes, after: ThreadsTimes, seconds: float) -> bool:
    """Return whether a thread gets no processor for a good part of the time, in which it wants one.

    Not if one has run for `HANGS_S` all the same: in so much of its time others would have had the lock.
    """
    if any(ran_s - before.get(thread, (0.0, 0.0))[0] >= HANGS_S for thread, (ran_s, _) in after.items()):
        return False
    for thread, (ran_s, waited_s) in after.items():
        ran_before_s, waited_before_s = before.get(thread, (0.0, 0.0))
        waits_s = waited_s - waited_before_s
        wants_s = waits_s + ran_s - ran_before_s
        if waits_s > WAITS_SHARE * seconds and wants_s > WANTS_SHARE * seconds:
            return True
    return False
