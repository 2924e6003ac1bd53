"""Starts and ends worker processes: ``python -m MODULE``, for both the gateway's side and the agent's side.

`multiprocessing` is not used, because its children import the author's main script again, which in the
ten-line style would start a second agent. What the two sides do with a worker differs: `services.workers`
sends requests and starts a worker again at the next request; `gateway.leg_processes` streams audio,
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

__all__ = ["end_worker", "leave_signals_to_parent", "process_state", "start_worker"]

KILL_S = 5.0
"""How long a process that was killed may take to end."""
_PARENTS_SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
    with _signals_blocked():
        return subprocess.Popen(
            # -P: a file in the folder of the author's script must not shadow the standard library
            [sys.executable, "-P", "-m", module],
            stdin=stdin,
            stdout=stdout,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        )


def leave_signals_to_parent() -> None:
    """Ignore Ctrl-C and SIGTERM in this worker, first thing in its program. It ends when its pipe is closed.

    Both often reach all processes at once: those of a terminal, of a process group, of a service that systemd stops.
    The parent acts on them, and has calls to end before it lets its workers go.
    """
    for number in _PARENTS_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Block those signals in a process that is started meanwhile: a child has the mask of the thread that starts it.

    One that is still importing its modules would print a traceback, or die of it.
    """
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENTS_SIGNALS)
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


def process_state(pid: int) -> tuple[str, float] | None:
    """Return what a process does, as Linux has it, and the CPU time that it has used, in seconds.

    Args:
        pid: Its id.

    Returns:
        None if it is gone, or the system does not say. The state is a letter: ``R`` runs or could run, ``D`` waits for
        a disk, ``S`` waits for something else, ``T`` is stopped by a signal, ``t`` by a debugger, ``Z`` has ended.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
