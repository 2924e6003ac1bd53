"""Python programs as processes of their own that are there at once.

Tests start up to seven agents and gateways, and each would import pipecat anew: more than a second of a core. So there
is a server, `tests.support.program_server`, which has imported it, and forks what is wanted: one for all workers of a
run (`tests.support.forked_workers`), or the own one of this process. What it forks has its own process id, environment
and streams, and can be killed or stopped like any other. Tests of how a program starts (its command line, what it
imports) start it with `subprocess`.
"""

from __future__ import annotations

import array
import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Self

from tests.support.program_server import LENGTH_BYTES, Order

__all__ = ["ROOT", "Program", "ServerProcess", "have_programs_of", "send_order"]

ROOT = Path(__file__).parent.parent.parent
_address: str | None = None
"""Where the server is that somebody else has started, if there is one."""
_orders: socket.socket | None = None
_own: ServerProcess | None = None


class Program:
    """A process that was started by `start`. It is used as those of `asyncio` are."""

    pid: int
    returncode: int | None = None
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader | None = None

    def __init__(self, told: socket.socket) -> None:
        self._told = told
        self._stdin = -1
        self._pipes: list[asyncio.BaseTransport] = []
        self._ends: asyncio.Task[int]

    @classmethod
    async def start(
        cls, *arguments: str, environment: Mapping[str, str], folder: Path = ROOT, stderr: bool = True
    ) -> Self:
        """Start ``python arguments``.

        Args:
            arguments: ``-m`` and a module, ``-c`` and code, or the path of a script; then its own.
            environment: All of its environment.
            folder: Its working folder.
            stderr: Whether its stderr is read here; it is that of this process otherwise.
        """
        ours, theirs = socket.socketpair()
        self = cls(ours)
        stdin, self._stdin = os.pipe()
        read_stdout, stdout = os.pipe()
        read_stderr, errors = os.pipe() if stderr else (-1, os.dup(2))
        descriptors = [stdin, stdout, errors, theirs.detach()]
        send_order(Order([*arguments], {**environment}, str(folder), os.nice(0)), descriptors)
        for fd in descriptors:
            os.close(fd)
        ours.setblocking(False)
        os.set_blocking(self._stdin, False)
        self.stdout = await self._reader(read_stdout)
        self.stderr = await self._reader(read_stderr) if stderr else None
        self.pid = await self._hear()
        self._ends = asyncio.ensure_future(self._end())
        return self

    async def _reader(self, fd: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        made = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(fd, "rb", 0)
        )
        self._pipes.append(made[0])
        return reader

    async def _hear(self) -> int:
        said = await asyncio.get_running_loop().sock_recv(self._told, LENGTH_BYTES)
        assert len(said) == LENGTH_BYTES, "the server of programs has ended"
        return int.from_bytes(said, "big", signed=True)

    async def _end(self) -> int:
        self.returncode = await self._hear()
        return self.returncode

    def say(self, line: str) -> None:
        """Write a line to its stdin."""
        os.write(self._stdin, f"{line}\n".encode())

    async def wait(self) -> int:
        """Wait for its end, and return its exit status."""
        return await asyncio.shield(self._ends)

    async def communicate(self) -> tuple[bytes, bytes]:
        """Wait for its end, and return what it has said on stdout and on stderr since."""
        told = asyncio.sleep(0, b"") if self.stderr is None else self.stderr.read()
        out, err = await asyncio.gather(self.stdout.read(), told)
        await self.wait()
        return out, err

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    async def close(self) -> None:
        """Make sure that it has ended, and close what connects it to this process."""
        self.kill()
        await self.wait()
        for pipe in self._pipes:
            pipe.close()
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1
        self._told.close()
        await asyncio.sleep(0)  # transports close in the next turn of the loop


class ServerProcess:
    """A `tests.support.program_server`, which ends with this process or when it is closed.

    Args:
        arguments: What it is to collect, for pytest; none: it loads what programs need.
    """

    def __init__(self, *arguments: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.address = f"{self._folder.name}/orders"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen()
            fd = listener.fileno()
            command = [sys.executable, "-m", "tests.support.program_server", str(fd), *arguments]
            self.process = subprocess.Popen(command, cwd=ROOT, pass_fds=[fd], stdin=subprocess.PIPE)
        atexit.register(self.close)

    def close(self) -> None:
        """End it, and all programs that are left."""
        atexit.unregister(self.close)
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)
        self._folder.cleanup()


def have_programs_of(address: str) -> None:
    """Have this process's programs forked by a server that is there already, at this path of a socket."""
    global _address
    _address = address


def send_order(order: Order, descriptors: Sequence[int], orders: socket.socket | None = None) -> None:
    """Have a program started with these descriptors: stdin, stdout, stderr, and the socket on which it tells.

    `orders` is a connection to the server, if it is not the one that this process has for its programs.
    """
    orders = orders or _orders_of_this_process()
    text = json.dumps(asdict(order)).encode()
    passed = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))
    orders.sendmsg([len(text).to_bytes(LENGTH_BYTES, "big")], [passed])
    orders.sendall(text)


def _orders_of_this_process() -> socket.socket:
    global _orders, _own
    if _own is not None and _own.process.poll() is not None:
        _orders = None
    if _orders is None:
        if _address is None:
            _own = ServerProcess()
        address = _own.address if _own is not None else str(_address)
        _orders = socket.socket(socket.AF_UNIX)
        _orders.connect(address)
    return _orders
