"""The command line as a process that is there at once, for tests without an event loop.

It is forked as `tests.support.programs` says: what is claimed is what the process says and does, not how it starts.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.program_server import LENGTH_BYTES, Order
from tests.support.programs import ROOT, send_order

__all__ = ["FRONT_DESK", "Command", "chat", "run_command"]

CLI = ("-m", "piopiy_pipeline.cli")
FRONT_DESK = ROOT / "examples" / "front_desk.py"
_START_S = 60.0
_END_S = 20.0
_CHAT_S = 60.0


class Command:
    """``piopiy arguments``. It is used as `subprocess.Popen` with ``text=True`` is.

    Args:
        arguments: What follows ``piopiy`` on the command line.
        environment: All of its environment.
        folder: Its working folder.
        together: Whether its stderr comes with its stdout; `stderr` is empty then.
        typed: What its stdin holds, at most 64 kB.
    """

    returncode: int | None = None

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str],
        folder: Path = ROOT,
        together: bool = False,
        typed: str = "",
    ) -> None:
        self._told, theirs = socket.socketpair()
        stdin, typing = os.pipe()
        os.write(typing, typed.encode())
        os.close(typing)
        read_stdout, stdout = os.pipe()
        read_stderr, stderr = os.pipe()
        errors = os.dup(stdout if together else stderr)
        passed = [stdin, stdout, errors, theirs.detach()]
        try:
            send_order(Order([*CLI, *arguments], {**environment}, str(folder), os.nice(0)), passed)
        finally:
            for fd in (*passed, stderr):
                os.close(fd)
        self.stdout = os.fdopen(read_stdout, encoding="utf-8")
        self.stderr = os.fdopen(read_stderr, encoding="utf-8")
        self.pid = self._hear(_START_S)

    def _hear(self, timeout_s: float | None) -> int:
        self._told.settimeout(timeout_s)
        said = self._told.recv(LENGTH_BYTES)
        assert len(said) == LENGTH_BYTES, "the server of programs has ended"
        return int.from_bytes(said, "big", signed=True)

    def poll(self) -> int | None:
        """Return its exit status, or None while it runs."""
        if self.returncode is None:
            try:
                self.returncode = self._hear(0)
            except BlockingIOError:
                return None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: It has not ended by then.
        """
        if self.returncode is None:
            try:
                self.returncode = self._hear(timeout)
            except TimeoutError:
                raise subprocess.TimeoutExpired("piopiy", timeout or 0.0) from None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for its end, and return what it has said on stdout and on stderr since."""
        said: dict[str, str] = {}
        readers = [
            threading.Thread(target=lambda name=name: said.update({name: getattr(self, name).read()}))
            for name in ("stdout", "stderr")
        ]
        for reader in readers:
            reader.start()
        try:
            self.wait(timeout)
        finally:
            self.kill()
            for reader in readers:
                reader.join()
        return said["stdout"], said["stderr"]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it with SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Make sure that it has ended, and close what connects it to this process."""
        self.kill()
        self.wait(_END_S)
        self.stdout.close()
        self.stderr.close()
        self._told.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_command(
    *arguments: str, environment: Mapping[str, str], typed: str = "", timeout_s: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run ``piopiy arguments`` to its end. The arguments are those of `Command`."""
    with Command(*arguments, environment=environment, typed=typed) as command:
        out, told = command.communicate(timeout_s)
        return subprocess.CompletedProcess(arguments, command.wait(), out, told)


def chat(
    *lines: str, options: tuple[str, ...] = (), bot: Path | None = FRONT_DESK, **environment: str
) -> tuple[int, str, str]:
    """Run ``piopiy chat`` with these lines through a pipe. Returns its exit status, its stdout and its stderr."""
    done = run_command(
        "chat",
        *([] if bot is None else [str(bot)]),
        *options,
        environment={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        typed="".join(f"{line}\n" for line in lines),
        timeout_s=_CHAT_S,
    )
    return done.returncode, done.stdout, done.stderr
