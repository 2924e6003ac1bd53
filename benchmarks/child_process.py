"""The processes of a benchmark: a `Child` answers in JSON lines, with a limit for each of them; a `Program` runs beside
an event loop. Of both the last lines of stderr are in the message if they fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

__all__ = ["PART_OF", "ROOT", "START_LIMIT_S", "Child", "Failed", "Found", "Program", "child", "program"]

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 60.0
END_LIMIT_S = 15.0
PART_OF = "PIOPIY_PART_OF_BENCHMARK"
"""A variable that processes of a benchmark have: they end at a SIGTERM at once, and the benchmark tidies up."""
LAST_LINES = 25
Found = dict[str, Any]


class Failed(Exception):
    """A process of the measurement did not do what it should; the message has the end of its log."""


class Child:
    """A module of `benchmarks` that runs as a process of its own.

    Args:
        module: Its name.
        python: The interpreter that runs it.
        speed: How many seconds of its clock are a second of the wall's (`slow_clock`).
        **options: Its options; a list is several values, and None is left out.
    """

    def __init__(
        self, module: str, *, python: str = sys.executable, speed: float = 1.0, **options: object
    ) -> None:
        command = [python, "-m", f"benchmarks.{module}"]
        if speed != 1.0:
            command = [python, "-m", "benchmarks.slow_clock", str(speed), module]
        for name, value in options.items():
            if isinstance(value, list):
                command += [f"--{name}", *map(str, value)]
            elif value is not None:
                command += [f"--{name}", str(value)]
        self._name = f"{module} ({options.get('side')}, {options.get('calls')} calls)"
        self._log = _log()
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            PART_OF: "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self, key: str, limit_s: float) -> Found:
        """Return the next line, which must have `key`. Raises `Failed` after `limit_s` seconds."""
        assert self._process.stdout is not None
        overdue = threading.Timer(limit_s, self._process.kill)
        overdue.start()
        try:
            line = self._process.stdout.readline()
        finally:
            overdue.cancel()
        found = json.loads(line) if line.startswith("{") else {}
        if key not in found:
            raise Failed(f"{self._name} did not say {key!r} within {limit_s:g} s:\n{_tail(self._log)}")
        return dict(found)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def let_go(self) -> None:
        """Close the standard input of the process, whose end it waits for."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def close(self) -> None:
        self.let_go()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def child(
    module: str, *, python: str = sys.executable, speed: float = 1.0, **options: object
) -> Iterator[Child]:
    """Run a `Child` for a while."""
    process = Child(module, python=python, speed=speed, **options)
    try:
        yield process
    finally:
        process.close()


class Program:
    """A process that runs beside an event loop, and is ended with `program`."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[str]) -> None:
        self.process = process
        self._log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.process.returncode is not None

    def failed(self, what: str) -> Failed:
        """Return an error that says what it has not done, and what it said last."""
        return Failed(f"{what}:\n{_tail(self._log)}")

    async def line(self, what: str, limit_s: float = START_LIMIT_S) -> bytes:
        """Return the next line of its output, which has to say `what`. Raises `Failed` after so many seconds."""
        assert self.process.stdout is not None
        try:
            async with asyncio.timeout(limit_s):
                said = await self.process.stdout.readline()
        except TimeoutError:
            said = b""
        if not said:
            raise self.failed(f"a process of this benchmark did not say {what}")
        return said


@contextlib.asynccontextmanager
async def program(
    *command: str, environment: Mapping[str, str] | None = None, pipes: bool = False
) -> AsyncIterator[Program]:
    """Run a program for a while.

    Args:
        *command: What is run, in the folder of the checkout.
        environment: What its environment has beside that of this process.
        pipes: Whether its standard input and output are pipes. Else there are none.
    """
    pipe = asyncio.subprocess.PIPE if pipes else asyncio.subprocess.DEVNULL
    with _log() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            env={**os.environ, **(environment or {}), "PYTHONPATH": str(ROOT), PART_OF: "1"},
            stdin=pipe,
            stdout=pipe,
            stderr=log,
        )
        try:
            yield Program(process, log)
        finally:
            if process.stdin is not None:
                process.stdin.close()
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(END_LIMIT_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


def _log() -> IO[str]:
    return tempfile.TemporaryFile("w+")


def _tail(log: IO[str]) -> str:
    log.seek(0)
    return "".join(log.readlines()[-LAST_LINES:]) or "(it logged nothing)"
