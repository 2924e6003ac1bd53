"""Worker processes for native libraries that must not share the agent's process, used by request and response.

Models that hear and speak compute for long, and espeak-ng, which piper has inside, has global state. In the
agent's process, the ones would delay the audio of every call and the other would crash. A worker is
``python -m MODULE`` on two pipes; `worker_loop` is its other side.

A worker sends nothing but answers, in the order of the requests. When it dies, the requests that wait fail with
`WorkerLost`, and the next request starts another process; one that has a `Worker.first` is started at once. It ends by
itself when its parent is gone.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import pickle
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.worker_process import end_worker, start_worker

__all__ = [
    "MAX_MESSAGE",
    "START_S",
    "Lease",
    "PoolPlan",
    "Worker",
    "WorkerFailed",
    "WorkerLost",
    "WorkerPool",
    "close_pools",
    "make_shared_pools",
    "read_exactly",
    "shared_pool",
    "shared_pool_plans",
    "unpickle_answer",
]

MAX_MESSAGE = 64 * 1024 * 1024
"""The largest message in either direction, in bytes. A length beyond it means that the stream is out of step."""

START_S = 60.0
"""What a process may take for its first answer beside the usual time, in seconds: it loads a model, and many start
at once on a machine that is busy."""

EXIT_S = 2.0
"""What a process may take to exit when it has closed its pipe, in seconds."""

_LENGTH = struct.Struct("<I")


class WorkerLost(RuntimeError):
    """The worker process died, or did not answer in time and was killed. Its state is lost."""


class WorkerFailed(RuntimeError):
    """The method raised an error in the worker, which still runs. The message says what it was."""


class Worker:
    """One worker process, started by the first request, and again by the first request after its death.

    Requests of all callers go through one lane, so the process sees one at a time.
    """

    def __init__(self, module: str, *, name: str, reply_timeout_s: float = 15.0) -> None:
        """Args:
        module: The module to run, which calls `worker_loop.serve`.
        name: What errors and logs call it.
        reply_timeout_s: A worker that takes longer to answer is killed, in seconds. Its first answer may take
            `START_S` longer.
        """
        self.module = module
        self.name = name
        self.reply_timeout_s = reply_timeout_s
        self.first: tuple[str, *tuple[Any, ...]] | None = None
        """A method and its arguments. If a process dies that has answered, another one is started and asked this at
        once, such as to load a model, so that the next request need not wait for it."""
        self.generation = 0
        """How many processes there have been. State in a worker is lost when this changes."""
        self._lane = Lane(name, threads=1, limit=5_000)
        self._process: subprocess.Popen[bytes] | None = None
        self._has_answered = False  # the process that runs
        self._closed = False
        self._lock = threading.Lock()  # one request at a time on the pipes, `close` from any thread

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def closed(self) -> bool:
        """Whether it was closed, so that it answers nothing any more."""
        return self._closed

    async def call(self, method: str, *args: Any) -> Any:
        """Have the worker run a method, and return its result.

        Args:
            method: The name of the method.
            args: Its arguments, which are pickled.

        Raises:
            WorkerLost: The process died, or did not answer in time.
            WorkerFailed: The method raised an error.
            BlockingIOError: Too many requests wait already.
        """
        return await self._lane.run(self.request, method, *args)

    def submit(self, method: str, *args: Any) -> asyncio.Future[Any]:
        """Do as `call` does, but return a future of the running loop at once.

        Raises:
            BlockingIOError: Too many requests wait already.
        """
        return self._lane.submit(self.request, method, *args)

    def submit_as(self, urgency: int, method: str, *args: Any) -> asyncio.Future[Any]:
        """Do as `submit` does, and say how urgent it is, for a process that others ask, too.

        Args:
            urgency: A lower number goes first; what is here already waits in order.
            method: The name of the method.
            args: Its arguments, which are pickled.

        Raises:
            BlockingIOError: Too many requests wait already.
        """
        return self.submit(method, *args)

    def post(self, method: str, *args: Any) -> None:
        """Have the worker run a method without waiting for it, for clean-up. Errors are only logged."""
        if self._closed or self.pid is None:
            return
        self._lane.submit(self.request, method, *args).add_done_callback(_note)

    def request(self, method: str, *args: Any) -> Any:
        """Do as `call` does, but block: for threads that have no event loop."""
        return self._exchange(method, *args)

    def _exchange(self, method: str, *args: Any) -> Any:
        try:
            return self._exchange_locked(method, args)
        finally:
            self._let_go_if_closed()

    def _exchange_locked(self, method: str, args: tuple[Any, ...]) -> Any:
        with self._lock:
            process = self._running()
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                message = pickle.dumps((method, args), protocol=pickle.HIGHEST_PROTOCOL)
                process.stdin.write(_LENGTH.pack(len(message)) + message)
                process.stdin.flush()
                fd = process.stdout.fileno()
                until = time.monotonic() + self.reply_timeout_s + (0.0 if self._has_answered else START_S)
                (length,) = _LENGTH.unpack(read_exactly(fd, _LENGTH.size, until))
                ok, answer = unpickle_answer(read_exactly(fd, length, until))
                self._has_answered = True
            except (OSError, EOFError, TimeoutError, pickle.PickleError) as error:
                self._end(process)
                why = f"{own_text(error)} (exit status {process.returncode})"
                raise WorkerLost(f"the {self.name} worker was lost: {why}") from error
        if not ok:
            raise WorkerFailed(f"{self.name}: {answer}")
        return answer

    def close(self) -> None:
        """End the process and refuse further requests. It may be called more than once.

        A request that is under way fails with `WorkerLost`, because its process ends.
        """
        self._closed = True
        self._lane.close()
        process = self._process
        if process is not None:
            end_worker(process)
        self._let_go_if_closed()

    def _let_go_if_closed(self) -> None:
        """Close the pipes after `close`. While a request uses them, the number of a pipe that was closed might become
        that of another file under its hands: then it is the request's thread that closes them, and not before its end.
        """
        if self._closed and self._lock.acquire(blocking=False):
            try:
                if self._process is not None:
                    self._end(self._process)
            finally:
                self._lock.release()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerLost(f"the {self.name} worker has been closed")
        if self._process is not None:
            if self._process.poll() is None:
                return self._process
            self._end(self._process)
        self._process = start_worker(
            self.module,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            environment={"OPENBLAS_NUM_THREADS": "1"},
        )
        self.generation += 1
        self._has_answered = False
        logger.debug("worker {} started as process {}", self.name, self._process.pid)
        assert self._process.stdout is not None
        end = os.dup(self._process.stdout.fileno())  # `_end` closes the other one
        threading.Thread(
            target=self._watch, args=(self._process, end), name=f"{self.name}-watch", daemon=True
        ).start()
        if self._closed:  # meanwhile
            self._end(self._process)
            raise WorkerLost(f"the {self.name} worker has been closed")
        return self._process

    def _watch(self, process: subprocess.Popen[bytes], end: int) -> None:
        """Wait for the death of a process in a thread of its own, log it once, and start the next process."""
        poll = select.poll()
        poll.register(end, 0)  # only that the other end is closed
        poll.poll()
        os.close(end)
        end_worker(process, EXIT_S)
        if self._closed:
            return
        code = process.returncode
        how = f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
        logger.warning("the {} worker ({}, process {}) died: {}", self.name, self.module, process.pid, how)
        if self.first is not None and self._has_answered:  # else it would die of the same
            try:
                self._exchange(*self.first)
            except (WorkerLost, WorkerFailed) as error:
                logger.debug("worker {} was not started ahead: {}", self.name, error)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        end_worker(process)
        for pipe in (process.stdin, process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was still to be written has no reader any more
                logger.trace("worker {}: its pipe broke", self.name)
        if self._process is process:
            self._process = None


class Lease:
    """A caller's place on one worker of a pool. `release` gives it back, and may be called more than once."""

    def __init__(self, pool: WorkerPool, worker: Worker) -> None:
        self.worker = worker
        self._pool: WorkerPool | None = pool

    def release(self) -> None:
        """Give the place back. It may be called more than once."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.give_back(self.worker)


class WorkerPool:
    """Some workers of one module, shared by all calls of the process. A lease goes to the worker with the
    fewest leases.
    """

    def __init__(
        self, module: str, *, name: str, size: int, make: Callable[[int], Worker] | None = None
    ) -> None:
        """Args:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has.
        make: Makes the worker of a number. None: processes of this one's.
        """
        if size < 1:
            raise ValueError(f"a pool of {size} workers: at least 1 is needed")
        make = make or (lambda number: Worker(module, name=f"{name}-{number}"))
        self.workers = [make(number) for number in range(size)]
        self._leases = dict.fromkeys(range(size), 0)

    def lease(self) -> Lease:
        """Take a place on the worker that has the fewest leases."""
        number = min(self._leases, key=lambda each: (self._leases[each], each))
        self._leases[number] += 1
        return Lease(self, self.workers[number])

    def give_back(self, worker: Worker) -> None:
        """Give a place back. `Lease.release` calls it."""
        self._leases[self.workers.index(worker)] -= 1

    @property
    def leases(self) -> int:
        """The number of places that are taken."""
        return sum(self._leases.values())

    def close(self) -> None:
        """End all workers. May be called more than once."""
        for worker in self.workers:
            worker.close()


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a shared pool is, so that another process can have the same.

    Attributes:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has.
        first: What each is asked first, such as to load a model (`Worker.first`).
    """

    module: str
    name: str
    size: int
    first: tuple[str, *tuple[Any, ...]] | None


_pools: dict[str, WorkerPool] = {}
_make_pool: Callable[[str, str, int], WorkerPool] | None = None


def make_shared_pools(make: Callable[[str, str, int], WorkerPool] | None) -> None:
    """Begin anew with `shared_pool` in a process that was just forked.

    Args:
        make: Makes the pool of a module, with a name and a size, if it is to be that of another process; None for
            pools of this one's.
    """
    global _make_pool
    _make_pool = make
    _pools.clear()  # those of the process that this one was forked from are not its to close


def shared_pool(module: str, *, name: str, size: int) -> WorkerPool:
    """Return this process's pool of workers of a module, and make it at the first call.

    Args:
        module: The module that the workers run.
        name: What errors and logs call it.
        size: How many workers it has. Only the first call's size counts.
    """
    pool = _pools.get(module)
    if pool is None:
        make = _make_pool or (lambda module, name, size: WorkerPool(module, name=name, size=size))
        pool = _pools[module] = make(module, name, size)
    return pool


def shared_pool_plans() -> list[PoolPlan]:
    """Return what the shared pools of this process are."""
    return [
        PoolPlan(module, pool.workers[0].name.rpartition("-")[0], len(pool.workers), pool.workers[0].first)
        for module, pool in _pools.items()
    ]


@atexit.register
def close_pools() -> None:
    """End all shared workers. A later `shared_pool` makes a new pool."""
    while _pools:
        _pools.popitem()[1].close()


def _note(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled() and (error := answer.exception()):
        logger.debug("worker: clean-up was not done: {}", error)


def unpickle_answer(body: bytes) -> tuple[Any, Any]:
    """Return an answer and what it is. Whatever is in place of one, the stream is out of step."""
    try:
        ok, answer = pickle.loads(body)
    except (
        Exception
    ) as error:  # unpickling raises errors of any kind, such as AttributeError for a class gone
        raise pickle.UnpicklingError(
            f"an answer that cannot be read: {type(error).__name__}: {error}"
        ) from error
    return ok, answer


def read_exactly(fd: int, size: int, until: float) -> bytes:
    """Read exactly `size` bytes from `fd` before the time `until` (of `time.monotonic`)."""
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
