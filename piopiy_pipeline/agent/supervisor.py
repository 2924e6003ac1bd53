"""`Supervisor`: keeps the call workers of an agent, and says why one has ended.

It runs in the author's process, which serves no call. The template (`template_process.py`) forks the workers, waits
for them and kills them; the supervisor decides when. It restarts what dies: at once what had served, and with growing
pauses what dies again and again. After `MAX_AT_ONCE` that died before they were of use, it gives up.

A call worker of several calls that dies is followed by one *apart* for each of them, beside its replacement: nobody
knows which call it was, and so the next time it dies alone (`gateway/core/suspicion.py`).

The process that has the models (`model_process.py`) is forked when a call worker asks for one, and then as often as it
has died.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress

from loguru import logger

from piopiy_pipeline.agent.death_notices import DeathNotices
from piopiy_pipeline.agent.hang_watch import HUNG_S, HangWatch
from piopiy_pipeline.agent.isolation import Isolation
from piopiy_pipeline.agent.load_meter import usable_cores
from piopiy_pipeline.agent.memory_watch import MemoryWatch
from piopiy_pipeline.agent.process_messages import (
    CallsUnderWay,
    CountsMade,
    DrainWorker,
    EndOverMemory,
    EndWorker,
    ForkWorker,
    OpenModels,
    TellOfDeath,
    WorkerFailure,
    WorkerMessage,
    WorkerReady,
    WorkerRuns,
)
from piopiy_pipeline.agent.processor_watch import ProcessorWatch
from piopiy_pipeline.agent.template_link import TemplateLink
from piopiy_pipeline.agent.template_process import BecomeWorker
from piopiy_pipeline.agent.worker_member import CallWorkerInfo, WorkerMember
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.forwarded_counts import replay_counts
from piopiy_pipeline.signaling.agent_protocol import Backoff

__all__ = ["SupervisionError", "Supervisor", "WorkersRefused"]

MAX_AT_ONCE = 5
"""After so many call workers that died at once, each begun after the death of the one before, another one would do the
same."""
AT_ONCE_S = 10.0
"""A call worker that has had no call and did not live as long has died at once."""
MODELS_AGAIN_S = 0.5
"""The least time between two forks of the process with the models: one that dies at once is not forked in a loop."""
MODELS_S = 60.0
"""How long the first call workers wait for models that the author's program had loaded."""
OVER_MEMORY_S = 1.0
"""How long a call worker may take to end its one call when it has too much memory, before it is killed."""
APART_S = 5.0
"""How long a call worker apart waits for its call, in seconds, before it ends."""
APART_SLOT = -2
"""What those have in place of a slot: they do not count as one of `Isolation.capacities`."""
DETAIL_CHARS = 300
SUSPECTS = 100
"""So many calls of a dead call worker are named to the gateway."""
END_S = 25.0
"""How long call workers may take to end when they are told to: `Agent` bounds that at 20 s."""
KILLED_S = 5.0


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
        become_worker: Serves calls, or has the models. Called in each process that the template forks.
        models_ahead: Whether the models are loaded before the first call worker is forked.
        limit_s: How long a call may block its call worker, in seconds.
        load_threshold: The share of the processors that call workers of one call each may use before no more are
            forked; None for no limit. Those of several calls judge by themselves.
        on_template: Called when the template is forked: from then on there may be threads.
    """

    def __init__(
        self,
        isolation: Isolation,
        instance_id: str,
        *,
        load: Callable[[], None],
        become_worker: BecomeWorker,
        models_ahead: bool = False,
        limit_s: float = HUNG_S,
        load_threshold: float | None = None,
        on_template: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_template = on_template
        self._models_ahead = models_ahead
        self._processors = ProcessorWatch(load_threshold, cores=usable_cores(), on_free=self._fill)
        self._limit_s = limit_s
        self._isolation = isolation
        self._instance_id = instance_id
        self._load = load
        self._become_worker = become_worker
        self._link: TemplateLink | None = None
        self._members: dict[int, WorkerMember] = {}
        self._models: WorkerMember | None = None
        self._models_at = -MODELS_AGAIN_S
        self._deaths = DeathNotices(self._say)
        self._died_at_once = 0
        self._died_at = 0.0  # when the last one was counted
        self._backoff = Backoff(first_s=0.1, longest_s=5.0, factor=2.0)
        self._not_before = 0.0
        self._refill: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._draining = False
        self._over = asyncio.Event()
        self._changed = asyncio.Event()

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
        self._link = TemplateLink(self, load=self._load, become_worker=self._become_worker)
        watching: list[asyncio.Future[None]] = []
        try:
            self._on_template()
            hanging = HangWatch(self._hung, self._hangs, limit_s=self._limit_s)
            watching.append(asyncio.ensure_future(hanging.run(self._watched)))
            if self._isolation.one_call:
                watching.append(asyncio.ensure_future(self._processors.run(self._members)))
            if self._isolation.memory_mb is not None:
                memory = MemoryWatch(self._link.pid, self._isolation.memory_mb, on_over=self._over_memory)
                watching.append(asyncio.ensure_future(memory.run(self._members)))
            if self._models_ahead:
                await self._load_models()
            self._fill()
            await self._over.wait()
        finally:
            for each in watching:
                each.cancel()
            await self._close(self._link)
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
        self._changed.set()

    async def wait_idle(self, timeout_s: float) -> None:
        """Wait until no call is in progress, but not longer than some seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.active:
                    self._changed.clear()
                    await self._changed.wait()

    def _watched(self) -> dict[int, WorkerMember]:
        models = {} if self._models is None else {self._models.number: self._models}
        return {**self._members, **models}

    # ------------------------------------------------------------------ how many there are

    def _fill(self) -> None:
        """Have as many call workers forked as are missing."""
        if self._draining or self._over.is_set():
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
        if self._processors.full:
            return []
        free = [slot for slot in range(self._isolation.capacity) if slot not in taken]
        waiting = sum(not member.served for member in self._members.values())
        return free[: max(0, self._isolation.warm - waiting)]

    def _ask(self, slot: int) -> None:
        assert self._link is not None
        one_call = self._isolation.one_call
        capacity = 1 if one_call else self._isolation.capacities[slot]
        try:
            member = self._link.fork(ForkWorker(0, self._instance_id, capacity, one_call), slot)
        except OSError as error:  # the template is gone, which is noticed where it is read, or stands still
            self._pause(f"the template cannot be asked: {error}")
        else:
            self._members[member.number] = member

    def _fork_apart(self, dead: WorkerMember) -> bool:
        """Have a call worker forked for each call that died with one, or hangs, unless it is known which one did it.
        Returns whether that is done.
        """
        assert self._link is not None
        if dead.one_call or dead.culprit is not None or self._draining or self._over.is_set():
            return False
        others = list(self._members.values())
        # What hung has lost its calls to others, and one of these is the cause.
        moved = dead.hangs or dead.killed_for is not None
        elsewhere = {call for member in others for call in member.calls if not moved}
        most = self._isolation.capacity - sum(member.apart for member in others)
        orphans = [call for call in dead.calls if call not in elsewhere][:most]
        for _ in orphans:
            order = ForkWorker(0, self._instance_id, 1, one_call=True, apart=True)
            try:
                member = self._link.fork(order, APART_SLOT)
            except OSError:  # the template is gone, which is noticed where it is read, or stands still
                return False
            self._members[member.number] = member
            asyncio.get_running_loop().call_later(APART_S, self._end_unused, member)
        return bool(orphans)

    def _end_unused(self, member: WorkerMember) -> None:
        if not member.served and member.number in self._members:
            member.leaving = True
            self._say(member, DrainWorker())

    def _pause(self, why: str) -> None:
        """Wait before the next fork, longer each time, and give up in the end."""
        self._died_at_once += 1
        self._died_at = time.monotonic()
        self._not_before = self._died_at + self._backoff.wait(random.random())
        if self._died_at_once >= MAX_AT_ONCE:
            self._fail(
                SupervisionError(
                    f"{MAX_AT_ONCE} call workers in a row have ended before they were of use; the last one: {why}"
                )
            )
        else:
            self._fill()

    # ------------------------------------------------------------------ what is heard

    def on_said(self, member: WorkerMember, message: WorkerMessage, descriptors: list[int]) -> None:
        member.turned_at = time.monotonic()
        match message:
            case WorkerReady():
                self._on_ready(member)
            case WorkerRuns():
                member.ran_at = member.turned_at
            case CallsUnderWay(calls=calls, registered=registered):
                if registered and not member.registered:
                    self._on_registered(member)
                member.calls, member.registered = calls, registered
                member.served = member.served or bool(calls)
                self._note_change()
                self._fill()
            case WorkerFailure(error=error, refused=refused, killed=killed, culprit=culprit):
                member.failure, member.explained, member.culprit = error, killed, culprit
                if refused:
                    self._fail(WorkersRefused(error))
            case OpenModels():
                self._open_models(descriptors)
            case CountsMade(entries=entries) if COUNTS.sink is not None:
                replay_counts(entries, COUNTS.sink)
        for each in descriptors:
            os.close(each)

    def _on_ready(self, member: WorkerMember) -> None:
        member.ready_s = time.monotonic() - member.asked_at
        logger.debug("{} is ready after {:.0f} ms", member.name, member.ready_s * 1000)
        self._note_change()

    def _on_registered(self, member: WorkerMember) -> None:
        """Note that a gateway knows a call worker, for the first time or after a loss of the connection."""
        if member.ready_s is None:
            self._on_ready(member)
        self._deaths.on_registered(member, time.monotonic())
        if self._draining:
            self._say(member, DrainWorker())

    def on_ended(self, member: WorkerMember) -> None:
        assert self._link is not None
        if member is self._models:
            self._models = None
            self._note_change()
            if not self._over.is_set():
                self._link.report(member)
            return
        del self._members[member.number]
        lived_s = time.monotonic() - member.asked_at
        meant = member.leaving or (member.one_call and member.served and not member.calls)
        as_meant = member.exit_code == 0 and meant and member.killed_for is None
        if as_meant:
            logger.debug("{} has ended", member.name)
        else:
            self._link.report(member)
            COUNTS.worker_died()
            apart = not member.hangs and self._fork_apart(member)  # else there are some already
            why, suspects = member.why_ended()[:DETAIL_CHARS], member.suspects[:SUSPECTS]
            death = TellOfDeath(member.instance_id, why, apart, suspects, member.culprit)
            self._deaths.tell(death, self._members.values(), time.monotonic())
        self._note_change()
        if as_meant or member.served or lived_s >= AT_ONCE_S:
            self._died_at_once = 0
            self._backoff.reset()
            self._not_before = 0.0
            self._fill()
        elif member.asked_at < self._died_at:  # it has died of the same as one that is counted
            self._fill()
        elif not (self._draining or self._over.is_set()):
            self._pause(member.why_ended())

    def on_template_ended(self, why: str | None) -> None:
        if why is not None:
            self._fail(WorkersRefused(why))
        elif not self._over.is_set():
            self._fail(
                SupervisionError("the process that forks call workers has ended: start the agent again")
            )

    async def _load_models(self) -> None:
        """Have the models loaded, but do not wait for ever: whoever needs one says what is wrong."""
        self._open_models([])
        with suppress(TimeoutError):
            async with asyncio.timeout(MODELS_S):
                while self._models is not None and self._models.ready_s is None and not self._over.is_set():
                    self._changed.clear()
                    await self._changed.wait()

    def _open_models(self, descriptors: list[int]) -> None:
        """Pass on the end of a stream to the process that has the models. Without one, the stream closes."""
        assert self._link is not None
        if self._models is None and time.monotonic() >= self._models_at + MODELS_AGAIN_S:
            self._models_at = time.monotonic()
            with suppress(OSError):
                order = ForkWorker(0, self._instance_id, 0, one_call=False, has_models=True)
                self._models = self._link.fork(order, slot=-1)
        if self._models is not None and descriptors:
            self._link.say(self._models, OpenModels(), descriptors)

    # ------------------------------------------------------------------ the end

    def _hangs(self, member: WorkerMember, silent_s: float) -> None:
        """Have the gateway told of a call worker that hangs: one of its calls would do the same to the next one."""
        why = f"nothing of it has run for {silent_s:.1f} s: native code keeps Python's lock"
        logger.error("{} hangs: {}; its calls: {}", member.name, why, ", ".join(member.calls[:SUSPECTS]))
        suspects = member.calls[:SUSPECTS]
        death = TellOfDeath(member.instance_id, why, self._fork_apart(member), suspects, hung=True)
        others = [each for each in self._members.values() if each is not member]
        self._deaths.tell(death, others, time.monotonic())

    def _hung(self, member: WorkerMember, silent_s: float) -> None:
        member.kill_for(f"its event loop has not turned for {silent_s:.0f} s")
        assert self._link is not None
        self._link.kill(member)

    def _over_memory(self, member: WorkerMember, own_mb: float, limit_mb: int) -> None:
        """End the call of a call worker that has one, which says why. Otherwise nobody knows whose memory it is."""
        why = f"it had {own_mb:.0f} MB of memory of its own, and may have {limit_mb} (memory_mb)"
        member.kill_for(why, its_calls=True)
        kill_after_s = 0.0
        if member.one_call:
            self._say(
                member, EndOverMemory(f"the call had {own_mb:.0f} MB of memory: {limit_mb} are allowed")
            )
            kill_after_s = OVER_MEMORY_S
        assert self._link is not None
        asyncio.get_running_loop().call_later(kill_after_s, self._link.kill, member)

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self.end()

    def _note_change(self) -> None:
        self._changed.set()
        if self._draining and not self._members:
            self._over.set()

    async def _close(self, link: TemplateLink) -> None:
        """End all call workers, then the process with the models, then the template, within a bounded time."""
        if self._refill is not None:
            self._refill.cancel()
        self._draining = True
        for member in self._members.values():
            member.leaving = True
            self._say(member, EndWorker())
        await self._wait_gone(END_S)
        for member in list(self._members.values()):
            link.kill(member)
        await self._wait_gone(KILLED_S)
        if self._models is not None:
            link.kill(self._models)
        await link.close()

    async def _wait_gone(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._members:
                    self._changed.clear()
                    await self._changed.wait()

    def _say(
        self, member: WorkerMember, message: DrainWorker | EndWorker | EndOverMemory | TellOfDeath
    ) -> None:
        assert self._link is not None
        self._link.say(member, message)
