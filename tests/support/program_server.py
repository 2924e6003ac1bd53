"""The process of which `tests.support.programs` has its programs: it has loaded what they need, and forks each of them.

It has no event loop, so whatever is forked from it is whole. It ends when its stdin is closed. Who has programs is
connected with it, and what is left of them is killed when that connection is closed. Where forks are not to be trusted
(elsewhere than on Linux) it starts each program as usual.

    python -m tests.support.program_server LISTENER             loads what programs need when the first is wanted
    python -m tests.support.program_server LISTENER ARGUMENT    has collected the tests that pytest finds with these
                                                                arguments; so have the workers of pytest-xdist that it
                                                                forks (`tests.support.forked_workers`)
"""

from __future__ import annotations

import array
import atexit
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LENGTH_BYTES", "Order", "ProgramServer", "run_order"]

LENGTH_BYTES = 4
LOADED = (
    "piopiy_pipeline.agent",
    "piopiy_pipeline.cli",
    "piopiy_pipeline.gateway.server",
    "piopiy_pipeline.session",
    "piopiy_pipeline.testing",
    "piopiy_pipeline.voice_agent",
    "tests.support.services",
)
"""What agents and gateways import before they do anything."""


@dataclass(frozen=True, slots=True)
class Order:
    """A program that is wanted: what follows ``python`` on its command line, its environment, and its folder.

    It lets other processes go first as far as `niceness` says, which whoever orders it has.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    niceness: int


class ProgramServer:
    """Takes orders with four descriptors each: stdin, stdout, stderr, and the socket on which its end is told."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._running: dict[int, tuple[socket.socket, socket.socket]] = {}
        """The programs, by process id: on which socket the end is told, and who has ordered it."""
        self._clients: list[socket.socket] = []
        self._woken, self._waker = os.pipe()

    def serve(self) -> Order | None:
        """Serve until stdin is closed, and return None; or return, in a process that was forked, what it is."""
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        while True:
            ends: list[Any] = [0, self._listener, self._woken, *self._clients]
            ready, _, _ = select.select(ends, [], [])
            if 0 in ready:
                break
            if self._woken in ready:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
                self._bury()
            if self._listener in ready:
                self._clients.append(self._listener.accept()[0])
            for client in [each for each in ready if each in self._clients]:
                taken = self._take(client)
                if taken is None:
                    self._leave(client)
                elif (order := self._start(client, *taken)) is not None:
                    return order
        for client in [*self._clients]:
            self._leave(client)
        return None

    @staticmethod
    def _take(client: socket.socket) -> tuple[Order, list[int]] | None:
        try:
            begun, ancillary, _, _ = client.recvmsg(
                LENGTH_BYTES, socket.CMSG_SPACE(4 * array.array("i").itemsize)
            )
            if len(begun) < LENGTH_BYTES:
                return None
            descriptors = array.array("i")
            for _, _, data in ancillary:
                descriptors.frombytes(data)
            left = int.from_bytes(begun, "big")
            text = b""
            while left > len(text):
                more = client.recv(left - len(text))
                if not more:
                    return None
                text += more
        except ConnectionResetError:
            return None
        return Order(**json.loads(text)), list(descriptors)

    def _leave(self, client: socket.socket) -> None:
        """End the programs of somebody who has gone."""
        self._clients.remove(client)
        client.close()
        for pid, (_, owner) in self._running.items():
            if owner is client:
                os.kill(pid, signal.SIGKILL)  # not waited for yet: the id is nobody else's

    def _start(self, client: socket.socket, order: Order, descriptors: list[int]) -> Order | None:
        *streams, told = descriptors
        if sys.platform == "linux":
            pid = os.fork()
            if pid == 0:
                self._become(order, streams, told)
                return order
        else:
            command = [sys.executable, *order.arguments]
            standard = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
            started: Any = subprocess.Popen(command, env=order.environment, cwd=order.folder, **standard)
            started.returncode = 0  # it is waited for below
            pid = started.pid
        for fd in streams:
            os.close(fd)
        self._running[pid] = socket.socket(fileno=told), client
        self._tell(self._running[pid][0], pid)
        return None

    def _become(self, order: Order, streams: list[int], told: int) -> None:
        """Be what an interpreter with these arguments would be."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for one in (self._listener, *self._clients, *(told for told, _ in self._running.values())):
            one.close()
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        for fd in (*streams, told, self._woken, self._waker):
            os.close(fd)
        os.environ.clear()
        os.environ.update(order.environment)
        os.chdir(order.folder)
        os.nice(max(0, order.niceness - os.nice(0)))
        random.seed()
        if (np := sys.modules.get("numpy")) is not None:
            np.random.seed()
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # as with PYTHONUNBUFFERED

    def _bury(self) -> None:
        """Tell of programs that have ended."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if (running := self._running.pop(pid, None)) is not None:
                    self._tell(running[0], os.waitstatus_to_exitcode(status))
                    running[0].close()

    @staticmethod
    def _tell(to: socket.socket, number: int) -> None:
        with suppress(OSError):  # nobody waits for it any more
            to.sendall(number.to_bytes(LENGTH_BYTES, "big", signed=True))


def run_order(order: Order) -> None:
    """Run a program in this process, to which the interpreter belongs from now on."""
    match order.arguments:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *rest]:
            sys.argv = ["-c", *rest]
            main: Any = sys.modules["__main__"].__dict__
            names = {"__name__": "__main__", "__builtins__": main["__builtins__"]}
            exec(compile(code, "<string>", "exec"), names)
        case [script, *rest]:
            paths = order.environment.get("PYTHONPATH", "").split(os.pathsep)
            sys.path[:1] = [str(Path(script).resolve().parent), *filter(None, paths)]
            sys.argv = [script, *rest]
            runpy.run_path(script, run_name="__main__")


class _Exit:
    """Ends this process after all that Python does at its end, and before the destructors of C++ libraries: they join
    threads of their own, which were not forked with it, and abort.
    """

    def __init__(self) -> None:
        self.status = 0
        atexit.register(self._leave)  # first, so it is called last

    def note(self, error: BaseException) -> None:
        """Note with which error the program ends."""
        code = error.code if isinstance(error, SystemExit) else 1
        self.status = code if isinstance(code, int) else int(code is not None)

    def _leave(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(self.status)


def _load(arguments: list[str]) -> None:
    """Load what is forked: tests, or programs. What is said on the way is nobody's output."""
    streams = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        if arguments:
            _collect(arguments)
        else:
            for name in LOADED:
                importlib.import_module(name)
    finally:
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
        for fd in (nowhere, *streams):
            os.close(fd)
    gc.collect()
    gc.freeze()


def _collect(arguments: list[str]) -> None:
    """Import the tests as pytest does."""
    import pytest

    status = pytest.main(["--collect-only", "-qq", "-n0", "-p", "no:cacheprovider", *arguments])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        sys.exit("half of a module may be loaded: each worker has to say what is wrong with it")


if __name__ == "__main__":
    _exit = _Exit()
    _listener = socket.socket(fileno=int(sys.argv[1]))
    _ends: list[Any] = [0, _listener]
    if len(sys.argv) == 2 and 0 in select.select(_ends, [], [])[0]:
        sys.exit()
    _load(sys.argv[2:])
    if (_order := ProgramServer(_listener).serve()) is not None:
        try:
            run_order(_order)
        except BaseException as _error:
            _exit.note(_error)
            raise
