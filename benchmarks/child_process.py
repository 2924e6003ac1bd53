"""A process of a benchmark, which answers in JSON lines, with a limit for each of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["START_LIMIT_S", "Child", "Failed", "Found", "child"]

ROOT = Path(__file__).resolve().parent.parent
START_LIMIT_S = 60.0
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
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
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
            raise Failed(f"{self._name} did not say {key!r} within {limit_s:g} s:\n{self._tail()}")
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
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()

    def _tail(self) -> str:
        self._log.seek(0)
        return "".join(self._log.readlines()[-25:]) or "(it logged nothing)"


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
