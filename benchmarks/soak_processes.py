"""The processes of a soak, as the system shows them: what there are, what they hold, and signals to several."""

from __future__ import annotations

import os
import signal
from pathlib import Path

__all__ = ["call_workers", "children", "open_fds", "signal_all", "threads"]


def signal_all(pids: list[int], what: signal.Signals) -> None:
    """Send it to those that there are."""
    for pid in pids:
        try:
            os.kill(pid, what)
        except ProcessLookupError:
            continue


def children(pid: int) -> list[int]:
    """Return the ids of a process's children; none if it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return []


def call_workers(pid: int) -> list[int]:
    """Return the ids of a supervisor's call workers: the template's children."""
    return [worker for child in children(pid) for worker in children(child)]


def open_fds(pid: int) -> int:
    """Return how many descriptors a process has."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    """Return how many threads a process has."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
