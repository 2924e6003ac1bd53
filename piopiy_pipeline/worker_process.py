"""Starts and ends worker processes: ``python -m MODULE``, for both the gateway's side and the agent's side.

`multiprocessing` is not used, because its children import the author's main script again, which in the
ten-line style would start a second agent. What the two sides do with a worker differs: `services.workers`
sends requests and starts a worker again at the next request; `gateway.webrtc.worker_supervisor` streams audio,
watches its worker, and starts it again by itself. So they share no more than this.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

__all__ = ["end_worker", "start_worker"]

KILL_S = 5.0
"""How long a process that was killed may take to end."""
_ROOT = Path(__file__).resolve().parents[1]


def start_worker(
    module: str, *, stdin: int, stdout: int | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a worker process. Blocks for some milliseconds.

    Args:
        module: The module to run, by its full name.
        stdin: A file descriptor or `subprocess.PIPE`. The worker has to end when it is closed.
        stdout: The same; None for the standard output of this process.
        environment: Environment variables beside those of this process.

    Raises:
        OSError: The process cannot be started.
    """
    path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    with _interrupts_blocked():
        return subprocess.Popen(
            # -P: a file in the folder of the author's script must not shadow the standard library
            [sys.executable, "-P", "-m", module],
            stdin=stdin,
            stdout=stdout,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        )


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in a process that is started meanwhile: a child has the mask of the thread that starts it.

    Ctrl-C in a terminal reaches the workers too, and one that is still importing its modules would print a
    traceback. They end when their pipe closes, and not by a signal of the terminal.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_worker(process: subprocess.Popen[bytes], grace_s: float = 0.0) -> None:
    """Wait until a process has ended, and kill it if it takes too long. Blocks.

    Args:
        process: The process.
        grace_s: How long it may take to end by itself, in seconds.
    """
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
        try:
            process.wait(KILL_S)
        except subprocess.TimeoutExpired:
            logger.error("worker process {} was killed and does not end", process.pid)
