"""`Supervisor`: keeps the call workers of an agent, and says why one has ended.

It runs in the author's process, which serves no call. The template (`template_process.py`) forks the workers, waits
for them and kills them; the supervisor decides when. It restarts what dies: at once what had served, and with growing
pauses what dies again and again. After `MAX_AT_ONCE` that died before they were of use, it gives up.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.agent.memory_watch import MemoryWatch
from piopiy_pipeline.agent.process_messages import (
    CallsUnderWay,
    DrainWorker,
    EndOverMemory,
    EndWorker,
    ForkFailed,
    ForkWorker,
    KillWorker,
    WorkerEnded,
    WorkerFailure,
    WorkerForked,
    WorkerMessage,
    WorkerReady,
    open_pair,
    receive_all,
    send,
)
from piopiy_pipeline.agent.template_process import BecomeWorker, fork_template
from piopiy_pipeline.agent.worker_member import CallWorkerInfo, WorkerMember
from piopiy_pipeline.agent.worker_output import WorkerOutput
from piopiy_pipeline.signaling.agent_protocol import Backoff

__all__ = ["CallWorkerInfo", "SupervisionError", "Supervisor", "WorkersRefused"]

MAX_AT_ONCE = 5
"""After so many call workers in a row that died at once, another one would do the same."""
AT_ONCE_S = 10.0
"""A call worker that has had no call and did not live as long has died at once."""
OVER_MEMORY_S = 1.0
"""How long a call worker may take to end its one call when it has too much memory, before it is killed."""
END_S = 25.0
"""How long call workers may take to end when they are told to: `Agent` bounds that at 20 s."""
TEMPLATE_END_S = 5.0
_OUTPUT_S = 0.5
"""How long the last lines of a dead call worker are waited for: a process that it has started may hold its stderr."""


class SupervisionError(RuntimeError):
    """No call worker can serve: the template has ended, or they die again and again."""


class WorkersRefused(Exception):
    """The gateway refuses the agent, or it cannot load what it needs."""


class Supervisor:
    """Has the call workers of one agent forked, and watches over them. Use it in one event loop.

    Args:
        isolation: How many there are, and what each takes.
        instance_id: What their instance ids begin with.
        load: Loads what a call needs. Called in the template.
        become_worker: Serves calls. Called in each call worker.
    """

    def __init__(
        self,
        isolation: Isolation,
        instance_id: str,
        *,
        load: Callable[[], None],
        become_worker: BecomeWorker,
    ) -> None:
        self._isolation = isolation
        self._instance_id = instance_id
        self._load = load
        self._become_worker = become_worker
        self._members: dict[int, WorkerMember] = {}
        self._unreported: dict[int, tuple[WorkerMember, asyncio.TimerHandle]] = {}
        self._forks = 0
        self._died_at_once = 0
        self._backoff = Backoff(first_s=0.1, longest_s=5.0, factor=2.0)
        self._not_before = 0.0
        self._refill: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._draining = False
        self._over = asyncio.Event()
        self._changed = asyncio.Event()
        self._output = WorkerOutput()
        self._control: socket.socket | None = None
        self._template = 0
        self._template_gone = False
        self.ready_s: deque[float] = deque(maxlen=1000)
        """Of the latest call workers, the seconds from the moment at which each was asked for until it took calls."""

    # ------------------------------------------------------------------ what the agent uses

    @property
    def workers(self) -> list[CallWorkerInfo]:
        """The call workers that have not ended."""
        return [member.info() for member in self._members.values() if member.pid]

    @property
    def active(self) -> int:
        """How many calls are in progress."""
        return sum(len(member.calls) for member in self._members.values())

    async def serve(self) -> None:
        """Keep the call workers until `end` is called, or until all have drained.

        Raises:
            SupervisionError: No call worker can serve.
            WorkersRefused: The gateway refuses the agent.
        """
        loop = asyncio.get_running_loop()
        ours, templates = open_pair()
        self._template = fork_template(templates, ours, load=self._load, become_worker=self._become_worker)
        templates.close()
        ours.setblocking(False)
        self._control = ours
        self._output.start()
        loop.add_reader(ours.fileno(), self._hear_template)
        watching = None
        if self._isolation.memory_mb is not None:
            memory = MemoryWatch(self._template, self._isolation.memory_mb, on_over=self._over_memory)
            watching = asyncio.ensure_future(memory.run(self._members))
        try:
            self._fill()
            await self._over.wait()
        finally:
            if watching is not None:
                watching.cancel()
            await self._close(loop, ours)
        if self._failure is not None:
            raise self._failure

    def drain(self) -> None:
        """Have the call workers take no more calls. `serve` returns when the last one has ended."""
        self._draining = True
        for member in self._members.values():
            member.leaving = True
            self._say(member, DrainWorker())
        self._note_change()

    def end(self) -> None:
        """Make `serve` return: the calls in progress are given back to the gateway."""
        self._draining = True
        self._over.set()

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no call is in progress, but not longer than some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.active:
                    self._changed.clear()
                    await self._changed.wait()

    # ------------------------------------------------------------------ how many there are

    def _fill(self) -> None:
        """Have as many call workers forked as are missing."""
        if self._draining or self._over.is_set() or self._control is None:
            return
        for slot in self._missing():
            wait_s = self._not_before - time.monotonic()
            if wait_s > 0:
                if self._refill is None:
                    self._refill = asyncio.get_running_loop().call_later(wait_s, self._fill_again)
                return
            self._ask(slot)

    def _fill_again(self) -> None:
        self._refill = None
        self._fill()

    def _missing(self) -> list[int]:
        """Return the slots that nobody has. With one call each, a slot is a place under the agent's capacity."""
        taken = {member.slot for member in self._members.values()}
        if not self._isolation.one_call:
            return [slot for slot in range(len(self._isolation.capacities)) if slot not in taken]
        free = [slot for slot in range(self._isolation.capacity) if slot not in taken]
        waiting = sum(not member.served for member in self._members.values())
        return free[: max(0, self._isolation.warm - waiting)]

    def _ask(self, slot: int) -> None:
        self._forks += 1
        number = self._forks
        loop = asyncio.get_running_loop()
        ours, theirs = open_pair()
        ours.setblocking(False)

        def output_closed() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._output_closed, number)

        stderr, last_lines = self._output.open(output_closed)
        one_call = self._isolation.one_call
        order = ForkWorker(
            number,
            f"{self._instance_id}-w{number}",
            1 if one_call else self._isolation.capacities[slot],
            one_call,
        )
        member = WorkerMember(number, order.instance_id, slot, ours, time.monotonic(), last_lines)
        try:
            assert self._control is not None
            send(self._control, order, [theirs.fileno(), stderr])
        except (
            OSError
        ) as error:  # the template is gone or stands still: the former is noticed where it is read
            ours.close()
            self._pause(f"a call worker cannot be asked for: {error}")
        else:
            self._members[number] = member
            loop.add_reader(ours.fileno(), self._hear, member)
        finally:
            theirs.close()
            os.close(stderr)

    def _pause(self, why: str) -> None:
        """Wait before the next fork, longer each time, and give up in the end."""
        self._died_at_once += 1
        self._not_before = time.monotonic() + self._backoff.wait(random.random())
        if self._died_at_once >= MAX_AT_ONCE:
            self._fail(
                SupervisionError(
                    f"{MAX_AT_ONCE} call workers in a row have ended before they were of use; the last one: {why}"
                )
            )
        else:
            self._fill()

    # ------------------------------------------------------------------ what is heard

    def _hear_template(self) -> None:
        assert self._control is not None
        for message in receive_all(self._control):
            match message:
                case WorkerForked(number=number, pid=pid):
                    self._members[number].pid = pid
                case ForkFailed(number=number, error=error):
                    member = self._members.pop(number)
                    self._leave(member)
                    logger.error("a call worker cannot be forked: {}", error)
                    self._pause(error)
                case WorkerEnded(number=number, exit_code=code):
                    self._bury(self._members[number], code)
                case WorkerFailure(error=error):
                    self._fail(WorkersRefused(error))
                case None:
                    asyncio.get_running_loop().remove_reader(self._control.fileno())
                    self._template_gone = True
                    if not self._over.is_set():
                        self._fail(
                            SupervisionError(
                                "the process that forks call workers has ended: start the agent again"
                            )
                        )
                    return

    def _hear(self, member: WorkerMember) -> None:
        for message in receive_all(member.control):
            if message is None:
                asyncio.get_running_loop().remove_reader(member.control.fileno())
                if self._template_gone:  # which else tells how it has ended
                    self._bury(member, 0)
                return
            self._take(member, message)

    def _take(self, member: WorkerMember, message: WorkerMessage | None) -> None:
        match message:
            case WorkerReady():
                member.ready_s = time.monotonic() - member.asked_at
                self.ready_s.append(member.ready_s)
                logger.debug("call worker {} is ready after {:.0f} ms", member.name, member.ready_s * 1000)
                if self._draining:
                    self._say(member, DrainWorker())
            case CallsUnderWay(calls=calls):
                member.calls = calls
                member.served = member.served or bool(calls)
                self._note_change()
                self._fill()
            case WorkerFailure(error=error, refused=refused):
                member.failure = error
                if refused:
                    self._fail(WorkersRefused(error))

    def _bury(self, member: WorkerMember, code: int) -> None:
        """Note that a call worker has ended, and have another one forked."""
        member.exit_code = code
        for last in receive_all(member.control):
            self._take(member, last)
        del self._members[member.number]
        self._leave(member)
        lived_s = time.monotonic() - member.asked_at
        meant = member.leaving or (self._isolation.one_call and member.served)
        as_meant = code == 0 and meant and member.killed_for is None
        if as_meant:
            logger.debug("call worker {} has ended", member.name)
        elif member.output_closed:
            self._report(member)
        else:
            timer = asyncio.get_running_loop().call_later(_OUTPUT_S, self._output_closed, member.number)
            self._unreported[member.number] = member, timer
        self._note_change()
        if as_meant or member.served or lived_s >= AT_ONCE_S:
            self._died_at_once = 0
            self._backoff.reset()
            self._not_before = 0.0
            self._fill()
        elif not (self._draining or self._over.is_set()):
            self._pause(member.why_ended())

    def _output_closed(self, number: int) -> None:
        """Report how a call worker has ended, now that its last lines are there."""
        if number in self._members:
            self._members[number].output_closed = True
        elif number in self._unreported:
            member, timer = self._unreported.pop(number)
            timer.cancel()
            self._report(member)

    def _report(self, member: WorkerMember) -> None:
        """Log why a call worker has ended, which calls it had, and what it wrote last."""
        had = f"; it had the calls {', '.join(member.calls)}" if member.calls else ""
        level = "WARNING" if member.leaving else "ERROR"
        logger.log(level, "call worker {} has ended: {}{}", member.name, member.why_ended(), had)
        if member.exit_code and member.killed_for is None and not member.leaving:
            for line in member.last_lines():
                logger.log(level, "call worker {} wrote: {}", member.name, line)

    # ------------------------------------------------------------------ the end

    def _over_memory(self, member: WorkerMember, own_mb: float, limit_mb: int) -> None:
        """End the call of a call worker that has one, which says why. Otherwise nobody knows whose memory it is."""
        member.killed_for = (
            f"it had {own_mb:.0f} MB of memory of its own, and may have {limit_mb} (memory_mb)"
        )
        kill_after_s = 0.0
        if self._isolation.one_call:
            self._say(
                member, EndOverMemory(f"the call had {own_mb:.0f} MB of memory: {limit_mb} are allowed")
            )
            kill_after_s = OVER_MEMORY_S
        asyncio.get_running_loop().call_later(kill_after_s, self._kill, member.number)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self.end()

    def _note_change(self) -> None:
        self._changed.set()
        if self._draining and not self._members:
            self._over.set()

    async def _close(self, loop: asyncio.AbstractEventLoop, control: socket.socket) -> None:
        """End all call workers and the template, within a bounded time."""
        if self._refill is not None:
            self._refill.cancel()
        self._draining = True
        for member in self._members.values():
            member.leaving = True
            self._say(member, EndWorker())
        await self._wait_gone(END_S)
        for number in list(self._members):
            self._kill(number)
        await self._wait_gone(TEMPLATE_END_S)
        loop.remove_reader(control.fileno())
        for member in self._members.values():
            self._leave(member)
        control.close()  # which ends the template
        self._control = None
        for _ in range(round(TEMPLATE_END_S / 0.01)):
            if _has_ended(self._template):
                break
            await asyncio.sleep(0.01)
        self._output.close()
        for number in list(self._unreported):
            self._output_closed(number)

    async def _wait_gone(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._members:
                    self._changed.clear()
                    await self._changed.wait()

    def _leave(self, member: WorkerMember) -> None:
        with suppress(ValueError, OSError):
            asyncio.get_running_loop().remove_reader(member.control.fileno())
        member.control.close()

    def _say(self, member: WorkerMember, message: DrainWorker | EndWorker | EndOverMemory) -> None:
        with suppress(OSError):  # it has ended, or hangs: then it is killed in time
            send(member.control, message)

    def _kill(self, number: int) -> None:
        member = self._members.get(number)
        if member is None or self._control is None:
            return
        with suppress(OSError):
            if not self._template_gone:
                send(self._control, KillWorker(number))
            elif member.pid:
                os.kill(member.pid, signal.SIGKILL)


def _has_ended(child: int) -> bool:
    """Wait for a child that has ended. Returns whether it has."""
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # somebody else has waited for it
        return True
