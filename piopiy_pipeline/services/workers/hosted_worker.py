"""`HostedWorker`: a worker of a pool that another process has, for all call workers of an agent.

Models take 200 MB each: processes that serve a call each cannot have their own. A `PoolHost` has the pools, and each
`HostedWorker` asks it over a connection of its own, with one request at a time. The host greets each connection:
before that, nothing is asked, because a stream may lead to a host that has just died. If the host dies, another one is
waited for, and asked the same once more: what it answers needs no state. Then the request fails with `WorkerLost`, as
if a worker had died.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.services.workers.worker_pipe import ReplyWait, read_exactly, unpickle_answer
from piopiy_pipeline.services.workers.worker_pool import WorkerPool
from piopiy_pipeline.services.workers.worker_processes import (
    START_S,
    Worker,
    WorkerFailed,
    WorkerLost,
    WorkerSlow,
)

__all__ = ["GREETING", "LENGTH", "Connect", "HostedWorker", "hosted_pool"]

LENGTH = struct.Struct("<I")
GREETING = b"\x06"
"""What a host sends first on a connection, when it knows which pool it is for."""
WAIT_S = 15.0
"""How long a request may wait at the host for those of other call workers, beside the time of a worker's own."""
HOST_S = 5.0
"""How long a request waits for a host that takes its connection, in seconds, while streams close at once: its
supervisor has not noticed yet that the last host died, or does not fork the next one this soon."""
AGAIN_S = 0.05
"""The time between two attempts to connect, in seconds."""
_LOST = (ConnectionError, EOFError)

Connect = Callable[[], socket.socket]
"""Returns a stream to the host. Called in a thread; raises `BlockingIOError` if none can be had yet, and
another `OSError` if none can be had at all."""


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
        self._stream_lock = threading.Lock()  # for a moment only: who sets it, and who shuts it down
        self._closing = threading.Event()

    @property
    def pid(self) -> int | None:
        """This process's id while there is a connection, else None: the process that computes is the host's."""
        return None if self._stream is None else os.getpid()

    @property
    def is_ready(self) -> bool:
        """Whether there is a connection: which of the host's workers is ready, the host knows."""
        return self._stream is not None

    def submit_as(self, urgency: int, method: str, *args: Any) -> Any:
        """Do as `submit` does. What is more urgent overtakes what other call workers have asked for."""
        return self._lane.submit(self._ask, urgency, method, args)

    def close(self) -> None:
        """Close the connection, and refuse further requests. It may be called more than once.

        A request that is under way fails with `WorkerLost`.
        """
        self._closed = True
        self._closing.set()
        self._lane.close()
        with self._stream_lock:
            if self._stream is not None:
                with suppress(OSError):  # the host is gone
                    self._stream.shutdown(socket.SHUT_RDWR)  # who reads it wakes
        self._let_go_if_closed()

    def _let_go_if_closed(self) -> None:
        """Close the stream after `close`, but not under the hands of a request that uses its number."""
        if self._closed and self._lock.acquire(blocking=False):
            try:
                self._disconnect()
            finally:
                self._lock.release()

    def _exchange(self, method: str, *args: Any) -> Any:
        return self._ask(0, method, args)

    def _ask(self, urgency: int, method: str, args: tuple[Any, ...]) -> Any:
        try:
            return self._ask_locked(urgency, method, args)
        finally:
            self._let_go_if_closed()

    def _ask_locked(self, urgency: int, method: str, args: tuple[Any, ...]) -> Any:
        with self._lock:
            request = (urgency, self.first, method, args)
            try:
                try:
                    answer = self._converse(request)
                except _LOST:
                    self._disconnect()
                    answer = self._converse(request)
            except (OSError, EOFError, TimeoutError, pickle.PickleError) as error:
                self._disconnect()
                lost = WorkerSlow if isinstance(error, TimeoutError) else WorkerLost
                raise lost(f"the process that has {self.name} was lost: {own_text(error)}") from error
        kind, value = answer
        if kind == "done":
            return value
        errors = {"failed": WorkerFailed, "full": BlockingIOError, "slow": WorkerSlow}
        raise errors.get(kind, WorkerLost)(value)

    def _converse(self, request: object) -> tuple[Any, Any]:
        if self._closed:
            raise WorkerLost(f"the {self.name} worker has been closed")
        until = time.monotonic() + self.reply_timeout_s + WAIT_S
        stream = self._stream
        if stream is None:
            until += START_S
            stream = self._open(until)
        _send(stream, request, until)
        fd = stream.fileno()
        wait = ReplyWait(
            until - time.monotonic()
        )  # the process at the other end waits for its workers itself
        (length,) = LENGTH.unpack(read_exactly(fd, LENGTH.size, wait))
        return unpickle_answer(read_exactly(fd, length, wait))

    def _open(self, until: float) -> socket.socket:
        """Return a stream that a host has greeted."""
        give_up = time.monotonic() + HOST_S
        while True:
            why: Exception
            try:
                stream = self._connect()
            except BlockingIOError as error:
                why = error
            else:
                self._take(stream)
                try:
                    self._greet(stream, until)
                except _LOST as error:
                    self._disconnect()
                    why = error
                else:
                    self.generation += 1
                    return stream
            if time.monotonic() >= give_up:
                raise why
            if self._closing.wait(AGAIN_S):
                raise WorkerLost(f"the {self.name} worker has been closed")

    def _greet(self, stream: socket.socket, until: float) -> None:
        _send(stream, (*self._pool, self._number), until)
        if read_exactly(stream.fileno(), len(GREETING), ReplyWait(until - time.monotonic())) != GREETING:
            raise OSError("the host's greeting is another one")

    def _take(self, stream: socket.socket) -> None:
        """Use a stream from now on, unless this was closed meanwhile."""
        with self._stream_lock:
            if not self._closed:
                self._stream = stream
                return
        stream.close()
        raise WorkerLost(f"the {self.name} worker has been closed")

    def _disconnect(self) -> None:
        with self._stream_lock:
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
