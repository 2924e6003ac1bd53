"""The template: a process that has loaded all that a call needs, and forks call workers when it is asked.

It is forked from the author's program before anything of ours runs in it: it has no thread, no event loop and no
connection, so whatever is forked from it is whole. `multiprocessing` is not used, because its children import the
author's main script again, which in the ten-line style would start a second agent.

It runs no code of the author's after its own beginning, so it is also what can be relied on at an end: it kills a call
worker's process group with it, whatever of its descendants is left, and all of them when the supervisor is gone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from piopiy_pipeline.agent.linux_process import (
    adopt_orphans,
    children,
    kill_group,
    leave_connections,
    share_one_heap,
)
from piopiy_pipeline.agent.process_messages import (
    ForkFailed,
    ForkWorker,
    KillWorker,
    WorkerEnded,
    WorkerFailure,
    WorkerForked,
    receive,
    send,
)
from piopiy_pipeline.error_text import error_text
from piopiy_pipeline.frozen_heap import freeze_heap

__all__ = ["ORPHAN_S", "BecomeWorker", "fork_template"]

ORPHAN_S = 8.0
"""What call workers have to end by themselves when the supervisor is gone, in seconds. They give their calls back."""

BecomeWorker = Callable[[ForkWorker, socket.socket, int], int]
"""Serves calls in a process that was just forked, and returns its exit code. It is given what it was asked for, its end
of its pair with the supervisor, and the template's own stderr."""


def fork_template(
    control: socket.socket, theirs: socket.socket, *, load: Callable[[], None], become_worker: BecomeWorker
) -> int:
    """Fork the template, and return its process id.

    Args:
        control: The template's end of a pair.
        theirs: The supervisor's end, which is closed in the template.
        load: Loads what a call needs. It must leave no thread.
        become_worker: Called in each process that the template forks.

    Raises:
        OSError: No process can be forked.
    """
    _flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        theirs.close()
        _Template(control, become_worker).run(load)
    finally:
        os._exit(1)


class _Template:
    """What the template does, in its process."""

    def __init__(self, control: socket.socket, become_worker: BecomeWorker) -> None:
        self._control = control
        self._become_worker = become_worker
        self._pids: dict[int, int] = {}  # by the number of the call worker
        self._woken, self._waker = os.pipe()
        self._give_up_at: float | None = None

    def run(self, load: Callable[[], None]) -> NoReturn:
        os.setpgid(0, 0)  # Ctrl-C is for the supervisor
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it ends when its supervisor has ended, and not before
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        leave_connections()
        adopt_orphans()
        share_one_heap()
        try:
            load()
        except Exception as error:  # noqa: BLE001  the supervisor raises it
            send(self._control, WorkerFailure(error_text(error), refused=True))
            os._exit(1)
        freeze_heap()  # a collection in a call worker must not write into pages that all of them share
        self._serve()
        os._exit(0)

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while self._give_up_at is None or (self._pids and time.monotonic() < self._give_up_at):
            wait_s = None if self._give_up_at is None else self._give_up_at - time.monotonic()
            for fd, _ in poll.poll(None if wait_s is None else max(0.0, wait_s * 1000)):
                if fd == self._woken:
                    with suppress(BlockingIOError):
                        os.read(self._woken, 4096)
                elif not self._obey():
                    poll.unregister(self._control)
                    self._give_up_at = time.monotonic() + ORPHAN_S
            self._bury()
        for pid in self._pids.values():
            kill_group(pid)
        while self._pids:
            self._bury(wait=True)

    def _obey(self) -> bool:
        """Do what the supervisor asks for. Returns whether it is still there."""
        try:
            received = receive(self._control)
        except OSError:
            received = None
        if received is None:
            return False
        message, descriptors = received
        match message:
            case ForkWorker():
                self._fork(message, descriptors)
            case KillWorker(number=number) if number in self._pids:
                kill_group(self._pids[number])
        return True

    def _fork(self, order: ForkWorker, descriptors: list[int]) -> None:
        control, stderr = descriptors
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(ForkFailed(order.number, str(error)))
        else:
            if pid == 0:
                self._be_worker(order, control, stderr)
            with suppress(OSError):  # it does the same: whoever is first
                os.setpgid(pid, pid)
            self._pids[order.number] = pid
            self._tell(WorkerForked(order.number, pid))
        finally:
            os.close(control)
            os.close(stderr)

    def _be_worker(self, order: ForkWorker, control: int, stderr: int) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for fd in (self._woken, self._waker):
                os.close(fd)
            self._control.close()
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            templates_stderr = os.dup(2)
            os.dup2(stderr, 2)
            os.close(stderr)
            code = self._become_worker(order, socket.socket(fileno=control), templates_stderr)
        finally:
            _flush()
            os._exit(code)

    def _bury(self, *, wait: bool = False) -> None:
        """Take note of children that have ended, and kill what they leave behind."""
        options = os.WEXITED | os.WNOWAIT | (0 if wait else os.WNOHANG)
        numbers = {pid: number for number, pid in self._pids.items()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, options)
            except ChildProcessError:
                break
            if ended is None:
                break
            pid = ended.si_pid
            number = numbers.get(pid)
            if number is not None:
                kill_group(pid)  # before it is waited for: until then, the id is nobody else's
            _, status = os.waitpid(pid, 0)
            if number is not None:
                del self._pids[number]
                self._tell(WorkerEnded(number, os.waitstatus_to_exitcode(status)))
            options |= os.WNOHANG
        workers = set(self._pids.values())
        for pid in children():  # orphans of a call worker: each one that ends wakes this loop again
            if pid not in workers:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def _tell(self, message: WorkerForked | ForkFailed | WorkerEnded) -> None:
        with suppress(OSError):  # the supervisor is gone, which is noticed where it is read
            send(self._control, message)


def _flush() -> None:
    """Write what is buffered: a fork would write it twice, and `os._exit` never."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
