"""`WorkerMember`: what a supervisor knows of one process that was forked for it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from piopiy_pipeline.agent.linux_process import signal_name

__all__ = ["CallWorkerInfo", "WorkerMember"]


@dataclass(frozen=True, slots=True)
class CallWorkerInfo:
    """A call worker, at a moment.

    Attributes:
        instance_id: Its id at the gateway.
        pid: Its process id.
        calls: The ids of the calls that it has.
        ready_s: The seconds from the moment at which it was asked for until it was registered; None before that.
        registered: Whether its gateway at home knows it now, as it said two seconds ago at most.
    """

    instance_id: str
    pid: int
    calls: tuple[str, ...]
    ready_s: float | None
    registered: bool


@dataclass(slots=True, eq=False)
class WorkerMember:
    """A process that was asked for: a call worker, or the one that has the models."""

    number: int
    instance_id: str
    slot: int  # which of `Isolation.capacities` it has
    control: socket.socket
    asked_at: float
    last_lines: Callable[[], list[str]]
    pid: int = 0
    ready_s: float | None = None
    registered: bool = False
    turned_at: float = 0.0  # when its event loop was last known to turn
    ran_at: float = 0.0  # when its watchdog's thread was last known to run; it tells while there are calls
    hangs: bool = False  # nothing of it runs, not even that thread
    calls: list[str] = field(default_factory=list)
    served: bool = False
    leaving: bool = False  # it was told to end
    failure: str | None = None
    explained: bool = False  # whether `failure` says all, so that its last lines add nothing
    killed_for: str | None = None
    suspects: list[str] = field(default_factory=list)  # the calls that it had when it was decided to kill it
    culprit: str | None = None  # the one of these that did it, if that is certain
    exit_code: int | None = None
    output_closed: bool = False
    has_models: bool = False
    one_call: bool = False
    apart: bool = False

    @property
    def name(self) -> str:
        what = "the process with the models" if self.has_models else f"call worker w{self.number}"
        return what + (f" (process {self.pid})" if self.pid else "")

    def kill_for(self, why: str, *, its_calls: bool = False) -> None:
        """Note why it is to be killed, and which calls it has now: they may be elsewhere when it is dead.

        Args:
            why: A sentence without a full stop.
            its_calls: Whether it is its one call, if it takes no other, that did it.
        """
        self.killed_for = why
        self.suspects = list(self.calls)
        if its_calls and self.one_call and len(self.calls) == 1:
            self.culprit = self.calls[0]

    def info(self) -> CallWorkerInfo:
        return CallWorkerInfo(self.instance_id, self.pid, tuple(self.calls), self.ready_s, self.registered)

    def why_ended(self) -> str:
        """Say in words how it has ended."""
        code = self.exit_code or 0
        how = f"exit code {code}" if code >= 0 else signal_name(-code)
        if self.killed_for is not None:
            return f"{self.killed_for}; {how}"
        if self.failure is not None:
            return f"{self.failure}; {how}"
        if code == -9:
            return f"{how}: somebody killed it, or the kernel because memory was out"
        return how
