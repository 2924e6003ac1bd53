"""What supervisor, template and call workers say to each other: one JSON message a packet, over pairs of Unix sockets.

All of them are the same program with the same code, so there are no versions here.
"""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from piopiy_pipeline.signaling.instance_messages import WorkerKind

__all__ = [
    "CallsUnderWay",
    "CountsMade",
    "DrainWorker",
    "EndOverMemory",
    "EndWorker",
    "ForkFailed",
    "ForkWorker",
    "KillWorker",
    "OpenModels",
    "TellOfDeath",
    "WorkerEnded",
    "WorkerFailure",
    "WorkerForked",
    "WorkerMessage",
    "WorkerReady",
    "WorkerRuns",
    "open_pair",
    "receive",
    "receive_all",
    "send",
]

MAX_BYTES = 64 * 1024
"""The largest message. Only the list of calls is long: `CallsUnderWay` is cut to fit."""
MAX_CALLS = 1000
"""How many ids of calls are reported. They are for the log of a loss."""


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """To the template: fork a call worker. The worker's end of its own pair and its stderr come with it."""

    number: int
    instance_id: str
    capacity: int
    one_call: bool
    has_models: bool = False
    """Whether it is to have the models that all call workers use, and no calls."""
    apart: bool = False
    """Whether its one call is one that was in a call worker that has died."""

    @property
    def kind(self) -> WorkerKind:
        """What the gateway is told that it is."""
        if self.apart:
            return "apart"
        return "call" if self.one_call else "shared"


@dataclass(frozen=True, slots=True)
class KillWorker:
    """To the template: kill a call worker with signal 9, and what it has started."""

    number: int


@dataclass(frozen=True, slots=True)
class WorkerForked:
    """Of the template: a call worker was forked."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """Of the template: a call worker could not be forked."""

    number: int
    error: str


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """Of the template: a call worker has ended, with this exit code, or by a signal if it is negative."""

    number: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """Of the process that has the models: they are loaded."""


@dataclass(frozen=True, slots=True)
class CallsUnderWay:
    """Of a call worker, for each change of its calls, when it has registered, and every two seconds."""

    calls: list[str]
    """The ids of the calls that it has now."""
    registered: bool
    """Whether its gateway at home knows it now."""


@dataclass(frozen=True, slots=True)
class WorkerRuns:
    """Of a call worker's watchdog, twice a second while it has calls: its threads run, whatever its loop does.

    And of the process that has the models, twice a second: its loop turns."""


@dataclass(frozen=True, slots=True)
class CountsMade:
    """Of a call worker: what it has counted since the last one (`metrics.forwarded_counts`)."""

    entries: list[list[Any]]


@dataclass(frozen=True, slots=True)
class OpenModels:
    """Of a call worker, and on to the process that has the models: the other end of a stream comes with it."""


@dataclass(frozen=True, slots=True)
class WorkerFailure:
    """Of a call worker, as the last: why it ends."""

    error: str
    refused: bool = False
    """Whether the gateway refuses the agent, so that another worker would not do better."""
    killed: bool = False
    """Whether its own watchdog kills it."""
    culprit: str | None = None
    """The call whose code ends it, if that is certain."""


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """To a call worker: take no more calls, and end with the last one."""


@dataclass(frozen=True, slots=True)
class EndWorker:
    """To a call worker: give the calls back to the gateway, and end."""


@dataclass(frozen=True, slots=True)
class EndOverMemory:
    """To a call worker: end its calls, because they have more memory than they may."""

    detail: str


@dataclass(frozen=True, slots=True)
class TellOfDeath:
    """To a call worker: tell the gateway that another one has died, and how."""

    instance_id: str
    detail: str
    apart: bool
    """Whether call workers apart come for the calls that it had."""
    calls: list[str] = field(default_factory=list)
    """The ids of the calls that it had."""
    culprit: str | None = None
    """The one that did it, if that is certain."""
    hung: bool = False
    """Whether it has not died, but hangs."""


WorkerMessage = (
    ForkWorker
    | KillWorker
    | WorkerForked
    | ForkFailed
    | WorkerEnded
    | WorkerReady
    | WorkerRuns
    | CallsUnderWay
    | CountsMade
    | WorkerFailure
    | DrainWorker
    | EndWorker
    | EndOverMemory
    | OpenModels
    | TellOfDeath
)
_KINDS: dict[str, type[WorkerMessage]] = {kind.__name__: kind for kind in WorkerMessage.__args__}


def open_pair() -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets that keep messages apart, both without inheritance over `exec`."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(to: socket.socket, message: WorkerMessage, descriptors: Sequence[int] = ()) -> None:
    """Send a message.

    Args:
        to: One socket of a pair.
        message: The message.
        descriptors: File descriptors that the receiver gets copies of.

    Raises:
        OSError: The other side is gone, or (`BlockingIOError`) does not read.
    """
    body = json.dumps([type(message).__name__, asdict(message)]).encode()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    to.sendmsg([body], ancillary)


def receive(of: socket.socket) -> tuple[WorkerMessage, list[int]] | None:
    """Return the next message and the descriptors that came with it, or None if the other side is gone.

    Raises:
        OSError: Nothing is there (`BlockingIOError`), or the socket is broken.
    """
    body, descriptors, _, _ = socket.recv_fds(of, MAX_BYTES, 4)
    if not body:
        return None
    kind, values = json.loads(body)
    return _KINDS[kind](**values), descriptors


def receive_all(of: socket.socket) -> tuple[list[tuple[WorkerMessage, list[int]]], bool]:
    """Return what has come, with descriptors that are the caller's from now on; and whether the other side is gone."""
    messages: list[tuple[WorkerMessage, list[int]]] = []
    while True:
        try:
            received = receive(of)
        except BlockingIOError:
            return messages, False
        except OSError:
            received = None
        if received is None:
            return messages, True
        messages.append(received)
