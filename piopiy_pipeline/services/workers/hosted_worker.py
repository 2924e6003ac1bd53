"""`HostedWorker`: a worker of a pool that another process has, for all call workers of an agent.

Models take 200 MB each: processes that serve a call each cannot have their own. A `PoolHost` has the pools, and each
`HostedWorker` asks it over a connection of its own, with one request at a time. If the host dies, the request fails
with `WorkerLost`, as if a worker had died, and the next one asks for a connection again.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from piopiy_pipeline.services.workers.worker_processes import (
    START_S,
    Worker,
    WorkerFailed,
    WorkerLost,
    WorkerPool,
    read_exactly,
    unpickle_answer,
)

__all__ = ["LENGTH", "Connect", "HostedWorker", "hosted_pool"]

LENGTH = struct.Struct("<I")
WAIT_S = 15.0
"""How long a request may wait at the host for those of other call workers, beside the time of a worker's own."""

Connect = Callable[[], socket.socket]
"""Returns a stream to the host. Called in a thread; raises `OSError` if none can be had."""


class HostedWorker(Worker):
    """A place at a pool's host.

    Args:
        module: The module that the pool's workers run.
        name: The name of the pool.
        size: How many workers the pool has.
        number: Which of them this stands for.
        connect: Connects to the host.
    """

    def __init__(self, module: str, *, name: str, size: int, number: int, connect: Connect) -> None:
        super().__init__(module, name=f"{name}-{number}")
        self._pool = (module, name, size)
        self._number = number
        self._connect = connect
        self._stream: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """This process's id while there is a connection, else None: the process that computes is the host's."""
        return None if self._stream is None else os.getpid()

    def submit_as(self, urgency: int, method: str, *args: Any) -> Any:
        """Do as `submit` does. What is more urgent overtakes what other call workers have asked for."""
        return self._lane.submit(self._ask, urgency, method, args)

    def close(self) -> None:
        """Close the connection, and refuse further requests. It may be called more than once."""
        self._closed = True
        self._lane.close()
        self._disconnect()

    def _exchange(self, method: str, *args: Any) -> Any:
        return self._ask(0, method, args)

    def _ask(self, urgency: int, method: str, args: tuple[Any, ...]) -> Any:
        with self._lock:
            if self._closed:
                raise WorkerLost(f"the {self.name} worker has been closed")
            try:
                answer = self._converse((urgency, self.first, method, args))
            except (OSError, EOFError, TimeoutError, pickle.PickleError) as error:
                self._disconnect()
                raise WorkerLost(f"the process that has {self.name} was lost: {error}") from error
        kind, value = answer
        if kind == "done":
            return value
        errors = {"failed": WorkerFailed, "full": BlockingIOError}
        raise errors.get(kind, WorkerLost)(value)

    def _converse(self, request: object) -> tuple[Any, Any]:
        until = time.monotonic() + self.reply_timeout_s + WAIT_S
        stream = self._stream
        if stream is None:
            until += START_S
            stream = self._stream = self._connect()
            self.generation += 1
            _send(stream, (*self._pool, self._number), until)
        _send(stream, request, until)
        fd = stream.fileno()
        (length,) = LENGTH.unpack(read_exactly(fd, LENGTH.size, until))
        return unpickle_answer(read_exactly(fd, length, until))

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


def hosted_pool(connect: Connect, module: str, name: str, size: int) -> WorkerPool:
    """Return a pool whose workers are another process's.

    Args:
        connect: Connects to the pool's host.
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers the host's pool has.
    """

    def make(number: int) -> Worker:
        return HostedWorker(module, name=name, size=size, number=number, connect=connect)

    return WorkerPool(module, name=name, size=size, make=make)


def _send(stream: socket.socket, value: object, until: float) -> None:
    body = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.settimeout(max(0.1, until - time.monotonic()))
    stream.sendall(LENGTH.pack(len(body)) + body)
