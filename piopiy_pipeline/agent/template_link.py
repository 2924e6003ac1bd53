"""`TemplateLink`: the supervisor's end of its pair with the template, and of those with all that the template forks.

It has processes forked and killed, passes on what they say, and reports how they have ended. It decides nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from loguru import logger

from piopiy_pipeline.agent.process_messages import (
    DrainWorker,
    EndOverMemory,
    EndWorker,
    ForkFailed,
    ForkWorker,
    KillWorker,
    OpenModels,
    TellOfDeath,
    WorkerEnded,
    WorkerFailure,
    WorkerForked,
    WorkerMessage,
    open_pair,
    receive_all,
    send,
)
from piopiy_pipeline.agent.template_process import BecomeWorker, fork_template
from piopiy_pipeline.agent.worker_member import WorkerMember
from piopiy_pipeline.agent.worker_output import WorkerOutput

__all__ = ["ForkListener", "TemplateLink"]

TEMPLATE_END_S = 5.0
OUTPUT_S = 0.5
"""How long the last lines of a dead process are waited for: one that it has started may hold its stderr."""


class ForkListener(Protocol):
    """Is told what happens to forked processes."""

    def on_said(self, member: WorkerMember, message: WorkerMessage, descriptors: list[int]) -> None:
        """A process has said something. The descriptors are the listener's."""

    def on_ended(self, member: WorkerMember) -> None:
        """A process has ended; or it could not be forked, and `failure` says why."""

    def on_template_ended(self, why: str | None) -> None:
        """The template has ended, or (with a reason) cannot load what calls need."""


class TemplateLink:
    """Forks the template, and through it all other processes. Use it in one event loop.

    Args:
        listener: Is told what happens.
        load: Loads what a call needs. Called in the template.
        become_worker: Called in each process that the template forks.
    """

    def __init__(
        self, listener: ForkListener, *, load: Callable[[], None], become_worker: BecomeWorker
    ) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._members: dict[int, WorkerMember] = {}
        self._unreported: dict[int, tuple[WorkerMember, asyncio.TimerHandle]] = {}
        self._forks = 0
        self._output = WorkerOutput()
        self._gone = False
        self._control, templates = open_pair()
        self.pid = fork_template(templates, self._control, load=load, become_worker=become_worker)
        """The template's process id."""
        templates.close()
        self._control.setblocking(False)
        self._output.start()  # a thread: after the fork
        self._loop.add_reader(self._control.fileno(), self._hear_template)

    def fork(self, order: ForkWorker, slot: int) -> WorkerMember:
        """Have a process forked.

        Args:
            order: What it is to be. Its number is chosen here; its instance id is completed with it.
            slot: The listener's own number for it.

        Raises:
            OSError: The template cannot be asked.
        """
        self._forks += 1
        number = self._forks
        ours, theirs = open_pair()
        ours.setblocking(False)

        def output_closed() -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._output_closed, number)

        stderr, last_lines = self._output.open(output_closed)
        order = replace(order, number=number, instance_id=f"{order.instance_id}-w{number}")
        try:
            send(self._control, order, [theirs.fileno(), stderr])
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(stderr)
        member = WorkerMember(
            number,
            order.instance_id,
            slot,
            ours,
            time.monotonic(),
            last_lines,
            has_models=order.has_models,
            one_call=order.one_call,
            apart=order.apart,
        )
        self._members[number] = member
        self._loop.add_reader(ours.fileno(), self._hear, member)
        return member

    def say(
        self,
        member: WorkerMember,
        message: DrainWorker | EndWorker | EndOverMemory | OpenModels | TellOfDeath,
        descriptors: Sequence[int] = (),
    ) -> None:
        """Tell a process something. One that has ended, or hangs, does not hear it."""
        with suppress(OSError):
            send(member.control, message, descriptors)

    def kill(self, member: WorkerMember) -> None:
        """Kill a process, and what it has started."""
        if member.number not in self._members:
            return
        with suppress(OSError):
            if not self._gone:
                send(self._control, KillWorker(member.number))
            elif member.pid:
                os.kill(member.pid, signal.SIGKILL)

    def report(self, member: WorkerMember) -> None:
        """Log how a process has ended, as soon as the last that it wrote is there."""
        if member.output_closed:
            self._report(member)
        else:
            timer = self._loop.call_later(OUTPUT_S, self._output_closed, member.number)
            self._unreported[member.number] = member, timer

    async def close(self) -> None:
        """End the template, which kills what is left. Bounded."""
        self._loop.remove_reader(self._control.fileno())
        for member in list(self._members.values()):
            self._drop(member)
        self._control.close()
        for _ in range(round(TEMPLATE_END_S / 0.01)):
            if _has_ended(self.pid):
                break
            await asyncio.sleep(0.01)
        self._output.close()
        for number in list(self._unreported):
            self._output_closed(number)

    # ------------------------------------------------------------------ what is heard

    def _hear_template(self) -> None:
        messages, gone = receive_all(self._control)
        for message, _ in messages:
            match message:
                case WorkerForked(number=number, pid=pid):
                    self._members[number].pid = pid
                case ForkFailed(number=number, error=error):
                    self._members[number].failure = f"it could not be forked: {error}"
                    self._ended(self._members[number], 1)
                case WorkerEnded(number=number, exit_code=code):
                    self._ended(self._members[number], code)
                case WorkerFailure(error=error):
                    self._listener.on_template_ended(error)
        if gone:
            self._loop.remove_reader(self._control.fileno())
            self._gone = True
            self._listener.on_template_ended(None)

    def _hear(self, member: WorkerMember) -> None:
        messages, gone = receive_all(member.control)
        if gone:
            self._loop.remove_reader(member.control.fileno())
        for message, descriptors in messages:
            self._listener.on_said(member, message, descriptors)
        if gone and self._gone:  # else the template tells how it has ended
            self._ended(member, 0)

    def _ended(self, member: WorkerMember, code: int) -> None:
        if member.number not in self._members:
            return
        member.exit_code = code
        for message, descriptors in receive_all(member.control)[0]:
            self._listener.on_said(member, message, descriptors)
        self._drop(member)
        self._listener.on_ended(member)

    def _drop(self, member: WorkerMember) -> None:
        del self._members[member.number]
        self._loop.remove_reader(member.control.fileno())
        member.control.close()

    # ------------------------------------------------------------------ reports

    def _output_closed(self, number: int) -> None:
        if number in self._members:
            self._members[number].output_closed = True
        elif number in self._unreported:
            member, timer = self._unreported.pop(number)
            timer.cancel()
            self._report(member)

    def _report(self, member: WorkerMember) -> None:
        """Log why a process has ended, which calls it had, and what it wrote last."""
        had = f"; it had the calls {', '.join(member.calls)}" if member.calls else ""
        level = "WARNING" if member.leaving else "ERROR"
        lines = member.last_lines() if member.exit_code and not (member.leaving or member.explained) else []
        wrote = "; its last lines:" + "".join(f"\n  | {line}" for line in lines) if lines else ""
        why = member.why_ended()
        logger.log(level, "{} has ended: {}{}{}", member.name, why, had, "" if member.killed_for else wrote)


def _has_ended(child: int) -> bool:
    """Wait for a child that has ended. Returns whether it has."""
    try:
        return os.waitpid(child, os.WNOHANG) != (0, 0)
    except ChildProcessError:  # somebody else has waited for it
        return True
