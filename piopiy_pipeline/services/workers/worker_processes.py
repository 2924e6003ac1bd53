"""Worker processes for native libraries that must not share the agent's process, used by request and response.

Models that hear and speak compute for long, and espeak-ng, which piper has inside, has global state. In the
agent's process, the ones would delay the audio of every call and the other would crash. A worker is
``python -m MODULE`` on two pipes; `worker_loop` is its other side.

A worker sends nothing but answers, in the order of the requests. When it dies, hangs or spins, the request that it has
fails with `WorkerLost`, and the next request starts another process; one that has a `Worker.first` is started at once.
What needs no state is asked once more: by `Lease.call` or by a `WorkerQueue`. A worker ends by itself when its parent
is gone.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import select
import struct
import subprocess
import threading
import time
from typing import Any, ClassVar

from loguru import logger

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.offload import Lane
from piopiy_pipeline.services.workers.worker_pipe import ReplyWait, read_exactly, unpickle_answer, write_all
from piopiy_pipeline.worker_process import end_worker, start_worker

__all__ = [
    "START_S",
    "Worker",
    "WorkerFailed",
    "WorkerLost",
    "WorkerSlow",
    "WorkerSpins",
]

START_S = 60.0
"""What a process may take for its first answer beside the usual time, in seconds: it loads a model, and many start
at once on a machine that is busy."""

EXIT_S = 2.0
"""What a process may take to exit when it has closed its pipe, in seconds."""

LOST_STARTS = 3
"""So many processes in a row that are lost before their first answer make a pause before the next one."""

PAUSE_S = 3.0
"""How long that pause is, in seconds. Requests fail at once meanwhile. A process that dies at its start has computed
for half a second before that, which other calls need more."""

_LENGTH = struct.Struct("<I")


class WorkerLost(RuntimeError):
    """The worker process died, or did not answer in time and was killed. Its state is lost."""

    asked_again: ClassVar[bool] = True
    """Whether what needs no state may be asked once more."""


class WorkerSlow(WorkerLost):
    """It has computed until its time was over. To ask once more would take as long again, from other calls, too."""

    asked_again = False


class WorkerSpins(WorkerSlow):
    """The same of a short request (`ReplyWait.is_short`), which another process answers much sooner."""

    asked_again = True


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
        reply_timeout_s: A worker that computes for longer without an answer is killed, in seconds. Its first answer
            may take `START_S` longer. What is known to be short may take less (`worker_loop.announce_share`), and one
            that hangs is killed after 3 s already (`ReplyWait`).
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
        self._lost_starts = 0  # in a row
        self._starts_at = 0.0  # the earliest time, of `time.monotonic`
        self._killed_for: dict[int, str] = {}  # by process id, until its death is logged
        self._closed = False
        self._lock = threading.Lock()  # one request at a time on the pipes, `close` from any thread

    @property
    def pid(self) -> int | None:
        """The process id, or None while no process runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def is_ready(self) -> bool:
        """Whether a process runs that has answered: what is asked now waits for no start."""
        return self._has_answered and self.pid is not None

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
            WorkerLost: The process died or hung; `WorkerSlow`, `WorkerSpins`: it did not answer in time.
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
            limit_s = self.reply_timeout_s + (0.0 if self._has_answered else START_S)
            wait = ReplyWait(limit_s, process.pid)
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                message = pickle.dumps((method, args), protocol=pickle.HIGHEST_PROTOCOL)
                write_all(process.stdin.fileno(), _LENGTH.pack(len(message)) + message, wait)
                ok, answer = _read_answer(process.stdout.fileno(), wait)
                while ok is None:  # `worker_loop.announce_share`
                    wait.shorten(answer * self.reply_timeout_s)
                    ok, answer = _read_answer(process.stdout.fileno(), wait)
                self._has_answered = True
                self._lost_starts = 0
            except (OSError, EOFError, TimeoutError, pickle.PickleError) as error:
                why = own_text(error)
                if isinstance(error, EOFError | BrokenPipeError):  # it has ended, and says how
                    end_worker(process, EXIT_S)
                    why = f"it ended with {_how_ended(process)}"
                else:
                    self._killed_for[process.pid] = why
                self._end(process)
                if not self._has_answered:
                    self._note_lost_start()
                lost = WorkerLost
                if isinstance(error, TimeoutError) and not wait.hangs:
                    lost = WorkerSpins if wait.is_short else WorkerSlow
                raise lost(f"the {self.name} worker was lost: {why}") from error
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
        if time.monotonic() < self._starts_at:
            times = f"{self._lost_starts} times in a row"
            raise WorkerLost(
                f"the {self.name} worker is not started again yet: it was lost at its start {times}"
            )
        self._has_answered = False
        try:
            self._process = start_worker(
                self.module,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                environment={"OPENBLAS_NUM_THREADS": "1"},
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdin.fileno(), False)
            end = os.dup(self._process.stdout.fileno())  # `_end` closes the other one
        except OSError as error:  # no descriptors, no memory
            if self._process is not None:
                self._end(self._process)
            self._note_lost_start()
            raise WorkerLost(f"the {self.name} worker cannot be started: {own_text(error)}") from error
        self.generation += 1
        logger.debug("worker {} started as process {}", self.name, self._process.pid)
        threading.Thread(
            target=self._watch, args=(self._process, end), name=f"{self.name}-watch", daemon=True
        ).start()
        if self._closed:  # meanwhile
            self._end(self._process)
            raise WorkerLost(f"the {self.name} worker has been closed")
        return self._process

    def _note_lost_start(self) -> None:
        self._lost_starts += 1
        if self._lost_starts >= LOST_STARTS:
            self._starts_at = time.monotonic() + PAUSE_S

    def _watch(self, process: subprocess.Popen[bytes], end: int) -> None:
        """Wait for the death of a process in a thread of its own, log it once, and start the next process."""
        poll = select.poll()
        poll.register(end, 0)  # only that the other end is closed
        poll.poll()
        os.close(end)
        end_worker(process, EXIT_S)
        killed_for = self._killed_for.pop(process.pid, None)
        if self._closed:
            return
        how = f"died: {_how_ended(process)}" if killed_for is None else f"was killed: {killed_for}"
        logger.warning("the {} worker ({}, process {}) {}", self.name, self.module, process.pid, how)
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


def _read_answer(fd: int, wait: ReplyWait) -> tuple[Any, Any]:
    (length,) = _LENGTH.unpack(read_exactly(fd, _LENGTH.size, wait))
    return unpickle_answer(read_exactly(fd, length, wait))


def _note(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled() and (error := answer.exception()):
        logger.debug("worker: clean-up was not done: {}", error)


def _how_ended(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"exit code {code}" if code is None or code >= 0 else f"signal {-code}"
