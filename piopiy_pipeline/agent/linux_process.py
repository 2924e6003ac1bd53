"""What Linux knows and does about processes, where Python's standard library has no function for it.

Each function does nothing, or says that it does not know, where the kernel refuses: a container may.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import stat
from contextlib import suppress
from pathlib import Path

from piopiy_pipeline.worker_process import process_state

__all__ = [
    "ThreadsTimes",
    "adopt_orphans",
    "anonymous_mb",
    "children",
    "die_with_parent",
    "is_stopped",
    "kill_group",
    "leave_connections",
    "prefer_to_be_killed",
    "processor_s",
    "processor_wait_s",
    "share_one_heap",
    "signal_name",
    "threads_times",
]

ThreadsTimes = dict[int, tuple[float, float]]
"""By thread: how long it has run, and how long it has waited for a processor, in seconds."""

_PR_SET_PDEATHSIG = 1  # include/uapi/linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36
_M_ARENA_MAX = -8  # malloc.h of glibc
_PAGE_MB = resource.getpagesize() / (1 << 20)
_SCORE = 300
"""What is added to the badness (0 to 1000) by which the kernel chooses whom to kill when memory is out."""


def die_with_parent(number: signal.Signals) -> None:
    """Have this process sent a signal when its parent ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of all descendants whose parents end, instead of process 1."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def prefer_to_be_killed() -> None:
    """Have the kernel kill this process rather than others when the machine's or container's memory is out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(_SCORE))


def share_one_heap() -> None:
    """Have all threads of this process, and of those that it forks, allocate from one heap, where glibc is the library.

    By default each thread gets a heap of its own, up to eight a core, and each keeps what it once had at most. The
    threads of a call worker do little at a time, and there are many call workers.
    """
    with suppress(AttributeError):  # musl has only one
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def children() -> list[int]:
    """Return the ids of this process's children, ended ones too."""
    try:
        tasks = list(Path("/proc/self/task").iterdir())
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def kill_group(pid: int) -> None:
    """Kill what is left of a process and its group. Call it before the process is waited for."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def anonymous_mb(pid: int) -> float | None:
    """Return the memory of a process that is in no file, in MB; None if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return None
    return (int(fields[1]) - int(fields[2])) * _PAGE_MB


def processor_s(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds; 0.0 if it is gone."""
    state = process_state(pid)
    return 0.0 if state is None else state[1]


def processor_wait_s(thread_id: int) -> float:
    """Return for how long a thread of this process has waited for a processor in its life, in seconds.

    Args:
        thread_id: The kernel's id of the thread.

    Returns:
        0.0 if the kernel does not say.
    """
    try:
        file = os.open(f"/proc/self/task/{thread_id}/schedstat", os.O_RDONLY)  # ten times a second: no `Path`
        try:
            return int(os.read(file, 100).split()[1]) / 1e9
        finally:
            os.close(file)
    except (OSError, IndexError, ValueError):
        return 0.0


def threads_times(pid: int) -> ThreadsTimes:
    """Return for each thread of a process how long it has run, and waited for a processor, in its life, in seconds.

    Returns:
        By the kernel's id of the thread; nothing if the kernel does not say.
    """
    times = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError, IndexError, ValueError):
            fields = path.read_text().split()
            times[int(path.parent.name)] = (int(fields[0]) / 1e9, int(fields[1]) / 1e9)
    return times


def is_stopped(pid: int) -> bool:
    """Return whether a signal or a debugger has stopped a process, or it is gone."""
    state = process_state(pid)
    return state is None or state[0] in "TtXZ"


def leave_connections() -> None:
    """Put ``/dev/null`` into the place of inherited connections over a network.

    Two processes that write to one connection mix up its bytes: an error is better. The descriptor's number stays
    taken, so that nothing else gets it while an object of the parent's still holds it.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for entry in list(Path("/proc/self/fd").iterdir()):
        fd = int(entry.name)
        with suppress(OSError):
            if fd > 2 and stat.S_ISSOCK(os.fstat(fd).st_mode) and _is_connection(fd):
                os.dup2(null, fd, inheritable=False)
    os.close(null)


def _is_connection(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM


def signal_name(number: int) -> str:
    """Return the name and the meaning of a signal, such as ``SIGSEGV, Segmentation fault``."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    return f"{name}, {signal.strsignal(number)}"
