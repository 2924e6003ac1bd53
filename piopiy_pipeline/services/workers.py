"""Worker processes for native libraries that must not share the agent's process, reached by request and response.

pocketsphinx holds the interpreter's lock while it decodes, and espeak-ng's state is global: in the
agent's process the one would stop every call's audio and the other would crash. A worker is
`python -m MODULE` on two pipes; `multiprocessing` is not used, because its children import the
author's main script again, which in the ten-line style would start a second agent.

A worker never pushes: it answers requests, in order. When it dies, whoever waits gets
`WorkerLost`, and the next request starts another. It ends by itself when its parent is gone.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from loguru import logger

from piopiy_pipeline.offload import Lane

__all__ = ["Lease", "Worker", "WorkerFailed", "WorkerLost", "WorkerPool", "close_pools", "shared_pool"]

MAX_MESSAGE = 64 * 1024 * 1024
"""Bytes of the largest message either way. A length beyond it means that the stream is out of step."""

_LENGTH = struct.Struct("<I")
_ROOT = Path(__file__).resolve().parents[2]


class WorkerLost(RuntimeError):
    """The worker process died, or did not answer in time and was killed. State that it held is gone."""


class WorkerFailed(RuntimeError):
    """The worker is well and refused the request; the message says why."""


class Worker:
    """One worker process, started by the first request and again by the first one after its death.

    Requests of all callers go through one lane, so the process sees one at a time. `reply_timeout_s`
    bounds each: a worker that is silent for longer is killed.
    """

    def __init__(self, module: str, *, name: str, reply_timeout_s: float = 15.0) -> None:
        self.module = module
        self.name = name
        self.reply_timeout_s = reply_timeout_s
        self.generation = 0
        """How many processes there have been. State in the worker is only as old as its generation."""
        self._lane = Lane(name, threads=1, limit=5_000)
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()  # one request at a time on the pipes, `close` from any thread

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    async def call(self, method: str, *args: Any) -> Any:
        """Have the worker run `method(*args)`; its result.

        Raises `WorkerLost` when the process dies first, `WorkerFailed` when the method raises, and
        `BlockingIOError` when too many requests wait already.
        """
        return await self._lane.run(self.request, method, *args)

    def post(self, method: str, *args: Any) -> None:
        """As `call`, for whoever does not wait: clean-up that may find the worker gone."""
        if self._closed or self.pid is None:
            return
        self._lane.submit(self.request, method, *args).add_done_callback(_note)

    def request(self, method: str, *args: Any) -> Any:
        """As `call`, blocking: for threads that have no event loop."""
        with self._lock:
            process = self._running()
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                message = pickle.dumps((method, args), protocol=pickle.HIGHEST_PROTOCOL)
                process.stdin.write(_LENGTH.pack(len(message)) + message)
                process.stdin.flush()
                fd = process.stdout.fileno()
                until = time.monotonic() + self.reply_timeout_s
                (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size, until))
                ok, answer = pickle.loads(_read(fd, length, until))
            except (OSError, EOFError, TimeoutError, pickle.PickleError) as error:
                self._end(process)
                why = f"{error} (exit status {process.returncode})"
                raise WorkerLost(f"the {self.name} worker was lost: {why}") from error
        if not ok:
            raise WorkerFailed(f"{self.name}: {answer}")
        return answer

    def close(self) -> None:
        """End the process and take no more requests. Safe to call twice."""
        self._closed = True
        self._lane.close()
        process = self._process
        if process is not None:
            self._end(process)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerLost(f"the {self.name} worker has been closed")
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._end(self._process)
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # -P: a file in the author's folder must not shadow the standard library in here
            [sys.executable, "-P", "-m", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
        )
        self.generation += 1
        logger.debug("worker {} started as process {}", self.name, self._process.pid)
        return self._process

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait(timeout=5)
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was still to be written has nobody left to read it
                logger.trace("worker {}: its pipe broke", self.name)
        if self._process is process:
            self._process = None


class Lease:
    """A caller's place on one worker of a pool. `release` gives it back; twice is as good as once."""

    def __init__(self, pool: WorkerPool, worker: Worker) -> None:
        self.worker = worker
        self._pool: WorkerPool | None = pool

    def release(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(self.worker)


class WorkerPool:
    """A few workers of one kind, shared by all calls of the process: a lease goes to the least used."""

    def __init__(self, module: str, *, name: str, size: int) -> None:
        if size < 1:
            raise ValueError(f"a pool of {size} workers: at least 1 is needed")
        self.workers = [Worker(module, name=f"{name}-{number}") for number in range(size)]
        self._leases = dict.fromkeys(range(size), 0)

    def lease(self) -> Lease:
        """A place on the worker that has the fewest."""
        number = min(self._leases, key=lambda each: (self._leases[each], each))
        self._leases[number] += 1
        return Lease(self, self.workers[number])

    def give_back(self, worker: Worker) -> None:
        """What `Lease.release` calls."""
        self._leases[self.workers.index(worker)] -= 1

    @property
    def leases(self) -> int:
        """How many places are taken."""
        return sum(self._leases.values())

    def close(self) -> None:
        """End all workers. Safe to call twice."""
        for worker in self.workers:
            worker.close()


_pools: dict[str, WorkerPool] = {}


def shared_pool(module: str, *, name: str, size: int) -> WorkerPool:
    """The process's pool of `module` workers; the first who asks decides on its size."""
    pool = _pools.get(module)
    if pool is None:
        pool = _pools[module] = WorkerPool(module, name=name, size=size)
    return pool


@atexit.register
def close_pools() -> None:
    """End every shared worker. Whoever asks for a pool afterwards gets a fresh one."""
    while _pools:
        _pools.popitem()[1].close()


def _note(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled() and (error := answer.exception()):
        logger.debug("worker: clean-up was not done: {}", error)


def _read(fd: int, size: int, until: float) -> bytes:
    """Exactly `size` bytes from `fd` by `until` (of `time.monotonic`)."""
    if size > MAX_MESSAGE:
        raise OSError(f"a message of {size} bytes")
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    parts = bytearray()
    while len(parts) < size:
        left = until - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise TimeoutError("no answer in time")
        part = os.read(fd, size - len(parts))
        if not part:
            raise EOFError("it ended")
        parts += part
    return bytes(parts)
