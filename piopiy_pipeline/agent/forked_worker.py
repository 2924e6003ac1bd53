"""`ForkedWorker`: what runs in a call worker: an ordinary `Agent` with an instance id of its own, which tells the
supervisor what calls it has.

A call worker drains and ends when the supervisor says so, over their pair of sockets. A SIGTERM drains it, however
often it comes: process managers send one to all processes of a service, beside the one that the supervisor gets.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Protocol

import numpy as np
from loguru import logger

from piopiy_pipeline.agent.exit_cause import find_exit_cause
from piopiy_pipeline.agent.gateway_connection import AuthenticationError
from piopiy_pipeline.agent.hang_watch import RUNS_S, TURN_S
from piopiy_pipeline.agent.linux_process import adopt_orphans, die_with_parent, prefer_to_be_killed
from piopiy_pipeline.agent.process_messages import (
    MAX_CALLS,
    CallsUnderWay,
    CountsMade,
    DrainWorker,
    EndOverMemory,
    EndWorker,
    ForkWorker,
    OpenModels,
    TellOfDeath,
    WorkerFailure,
    WorkerRuns,
    receive,
    send,
)
from piopiy_pipeline.compat.asyncio import forget_running_loop
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.forwarded_counts import ForwardedCounts
from piopiy_pipeline.services.workers.hosted_worker import hosted_pool
from piopiy_pipeline.services.workers.worker_pool import make_shared_pools
from piopiy_pipeline.signaling.instance_messages import InstanceDied, WorkerKind

__all__ = ["ForkedWorker", "ServingAgent", "SupervisorLink"]

ORPHAN_DRAIN_S = 3.0
"""How long calls may go on when the supervisor is gone, in seconds, before they are given back to the gateway. In a
pause they move before that."""
LEFT_OVER_S = 2.0
"""How long tasks that an author's code has left behind may take to end when they are cancelled."""
_AGAIN_S = 0.2


class SupervisorLink(Protocol):
    """How a call worker's agent tells its supervisor what it has to know."""

    def on_change(self) -> None:
        """Note that the agent may have registered, or that a call has begun or ended."""

    def on_look(self) -> None:
        """Note that the threads of this process run. It is called in the watchdog's thread, at each look."""

    def on_kill(self, why: str, call_id: str | None) -> None:
        """Note why this process is killed now, as a sentence, and the call that is the cause, if one is. It may be
        called in any thread.
        """


class ServingAgent(Protocol):
    """The agent as a call worker uses it."""

    instance_id: str
    """The id under which it registers."""

    @property
    def calls(self) -> tuple[str, ...]:
        """The ids of the calls in progress."""

    @property
    def registered(self) -> bool:
        """Whether the gateway at home knows it now."""

    def become_worker(
        self, instance_id: str, kind: WorkerKind, capacity: int, supervisor: SupervisorLink
    ) -> None:
        """Serve as this instance in this process."""

    async def connect(self) -> None:
        """Serve calls until it has drained or was shut down."""

    def take_no_more(self) -> None:
        """Take no more calls, and return from `connect` when the last one has ended."""

    def drain(self) -> None:
        """Do the same, and have the calls in progress end in time, or move, as the author wants it."""

    def move_calls(self) -> None:
        """Have the calls move to other instances when this one drains."""

    async def shutdown(self) -> None:
        """End."""

    def tell_of_death(self, death: InstanceDied) -> None:
        """Tell the gateway that another call worker has died."""

    def end_calls(self, detail: str) -> None:
        """End the calls in progress as failed."""


class ForkedWorker:
    """Serves calls in a process that was just forked.

    Args:
        agent: The agent that the author made.
        order: What the supervisor has asked for.
        control: This worker's end of the pair.
        orphans_stderr: Where to write when the supervisor, which passes on stderr, is gone.
        loop_factory: Makes an event loop of the kind that the author's program has.
    """

    def __init__(
        self,
        agent: ServingAgent,
        order: ForkWorker,
        control: socket.socket,
        *,
        orphans_stderr: int,
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self._agent = agent
        self._order = order
        self._control = control
        self._orphans_stderr = orphans_stderr
        self._loop_factory = loop_factory
        self._runs_at = 0.0
        self._reported = CallsUnderWay([], registered=False)
        self._retry: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None

    def run(self) -> int:
        """Serve until there is nothing more to do, and return the exit code of this process."""
        parent = os.getppid()
        die_with_parent(signal.SIGTERM)
        if os.getppid() != parent:  # the template has ended before that could be asked for
            return 1
        adopt_orphans()  # so that all that a call starts is a descendant, and ends with this process
        prefer_to_be_killed()
        faulthandler.enable(file=2)  # a segmentation fault names the line that led to it
        if "numpy.random" in sys.modules:
            np.random.seed()  # else all call workers draw the same numbers; `random` does that by itself
        forget_running_loop()
        asyncio.set_event_loop(None)
        self._control.setblocking(False)
        make_shared_pools(partial(hosted_pool, self._connect_models))
        # It is never closed: that would wait for what an author's code still runs in threads.
        self._runner = asyncio.Runner(loop_factory=self._loop_factory)
        try:
            return self._runner.run(self._serve())
        except (SystemExit, KeyboardInterrupt) as end:
            if (cause := find_exit_cause(end, self._agent.calls)) is not None:
                self._tell_failure(cause.text, call_id=cause.call_id)
            elif isinstance(end, KeyboardInterrupt):
                raise
            if isinstance(end, KeyboardInterrupt):
                return 1
            return end.code if isinstance(end.code, int) else int(end.code is not None)

    async def _serve(self) -> int:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._control.fileno(), self._obey)
        order = self._order
        self._agent.become_worker(order.instance_id, order.kind, order.capacity, self)
        loop.call_later(TURN_S, self._turn)
        try:
            await self._agent.connect()
        except Exception as error:  # noqa: BLE001  the supervisor reports it
            refused = isinstance(error, AuthenticationError)
            if not refused:
                traceback.print_exc()
            self._tell_failure(str(error) if refused else error_text(error), refused=refused)
            return 1
        finally:
            loop.remove_reader(self._control.fileno())
            await _end_left_over()
            self._tell_counts()
        return 0

    def _connect_models(self) -> socket.socket:
        """Return a stream to the process that has the models. Called in a thread."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            send(self._control, OpenModels(), [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return ours

    # ------------------------------------------------------------------ what the supervisor is told

    def on_change(self) -> None:
        now = self._calls_under_way()
        if now != self._reported and self._tell(now):
            self._reported = now
        if self._order.one_call and now.calls:
            self._agent.take_no_more()

    def _calls_under_way(self) -> CallsUnderWay:
        return CallsUnderWay(list(self._agent.calls[:MAX_CALLS]), self._agent.registered)

    def _turn(self) -> None:
        """Say that the loop turns."""
        asyncio.get_running_loop().call_later(TURN_S, self._turn)
        self._tell(self._calls_under_way())
        self._tell_counts()

    def _tell_counts(self) -> None:
        """Say what was counted. What a supervisor that does not read is told is not counted."""
        if isinstance(counts := COUNTS.sink, ForwardedCounts):
            for entries in counts.take():
                with suppress(OSError):
                    send(self._control, CountsMade(entries))

    def _tell(self, message: CallsUnderWay) -> bool:
        """Send, without waiting. A supervisor that does not read is told later which calls there are."""
        try:
            send(self._control, message)
        except BlockingIOError:
            if self._retry is None:
                self._retry = asyncio.get_running_loop().call_later(_AGAIN_S, self._tell_again)
            return False
        except OSError:  # it is gone, which is noticed where it is read
            return False
        return True

    def _tell_again(self) -> None:
        self._retry = None
        self.on_change()

    def on_look(self) -> None:
        now = time.monotonic()
        if self._reported.calls and now >= self._runs_at + RUNS_S:
            self._runs_at = now
            with suppress(OSError):
                send(self._control, WorkerRuns())

    def on_kill(self, why: str, call_id: str | None) -> None:
        with suppress(OSError):
            send(self._control, WorkerFailure(why[:2000], killed=True, culprit=call_id))

    def _tell_failure(self, error: str, *, refused: bool = False, call_id: str | None = None) -> None:
        with suppress(OSError):
            send(self._control, WorkerFailure(error[:2000], refused=refused, culprit=call_id))

    # ------------------------------------------------------------------ what the supervisor says

    def _obey(self) -> None:
        try:
            received = receive(self._control)
        except BlockingIOError:
            return
        except OSError:
            received = None
        if received is None:
            self._orphaned()
            return
        match received[0]:
            case DrainWorker():
                self._agent.drain()
            case EndWorker():
                self._end()
            case TellOfDeath() as death:
                self._agent.tell_of_death(InstanceDied(**asdict(death)))
            case EndOverMemory(detail=detail):
                self._agent.end_calls(detail)
                self._agent.drain()

    def _end(self) -> None:
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._agent.shutdown())

    def _orphaned(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._control.fileno())
        os.dup2(self._orphans_stderr, 2)
        logger.warning("the supervisor is gone: this call worker ends")
        self._agent.move_calls()
        self._agent.drain()
        loop.call_later(ORPHAN_DRAIN_S, self._end)


async def _end_left_over() -> None:
    """Cancel the tasks that are left, as `asyncio.run` does, but do not wait for ever."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=LEFT_OVER_S)
