"""What an author's code leaves behind after its call, beside tasks: processes, threads, sockets, files.

Python tells whoever listens (PEP 578, audit events) that a thread is started, a process or a socket made, a file
opened, and the context variable of `tasks` says in which call. Only what a line of the author's has made counts,
itself or through a library: what this package makes is its own to end, and often for all calls. Child processes are
ended. The rest cannot be closed from outside without breaking what may be shared (a pool's connection), and is logged
with the place where it was made.

To listen costs nothing in calls that make nothing: audio makes no such events.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from loguru import logger

from piopiy_pipeline.code_places import authors_place
from piopiy_pipeline.compat.thread_starts import THREAD_STARTED, announce_thread_starts

__all__ = ["CallLeftovers", "listen", "watch_processes"]

MAX_KEPT = 100
"""How many things of each kind are remembered for a call. A call that makes more is told of the first ones."""
MAX_LISTED = 5
MAX_NAMES = 3
"""So many things that were made at one place are named."""
MAX_BETWEEN = 50
"""So many frames above the start of a thread its owner is looked for: a pool starts one a few calls below itself."""
END_S = 1.0
"""How long a process may take to end when it is asked to, before it is killed."""
OPEN_FILES = Path("/proc/self/fd")
_FILES = ("tempfile.mkstemp", "tempfile.mkdtemp")
_EVENTS = frozenset({*THREAD_STARTED, *_FILES, "open", "subprocess.Popen", "socket.__new__"})
_OWNERS = ("concurrent/futures/thread.py", "asyncio/unix_events.py")
"""Modules of the standard library whose threads are theirs to end, and whose processes are theirs to reap: pools, and
what waits for a child process."""


class CallLeftovers:
    """What was made in one call, and where.

    Args:
        name: The call, for the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: dict[int, str] = {}  # by process id
        self._starting: list[tuple[subprocess.Popen[Any], str, bool]] = []  # and whether a loop waits for it
        self._threads: list[tuple[weakref.ref[threading.Thread], str]] = []
        self._sockets: list[tuple[weakref.ref[socket.socket], str]] = []
        self._files: list[tuple[str, str]] = []
        self._opened: dict[str, Counter[str]] = {}  # by path: how often at which places

    def take(self, event: str, args: tuple[Any, ...]) -> None:
        """Take an audit event that happens in the call."""
        frame = sys._getframe(2)
        if event == "open" and (
            not isinstance(args[0], str | bytes) or frame.f_code.co_filename.startswith("<frozen importlib")
        ):
            return  # a descriptor of what was opened before; or an import
        if event in THREAD_STARTED and frame.f_code.co_filename.endswith("thread_starts.py"):
            frame = frame.f_back or frame
        place = authors_place(frame)
        if place is None:
            return
        if event in THREAD_STARTED:
            thread = getattr(args[0], "__self__", None)
            if isinstance(thread, threading.Thread) and not _has_owner(frame):
                _keep(self._threads, (weakref.ref(thread), place))
        elif event == "open":
            path = os.path.abspath(os.fsdecode(args[0]))  # noqa: PTH100  no object, no file access
            if path in self._opened or len(self._opened) < MAX_KEPT:
                places = self._opened.setdefault(path, Counter())
                if place in places or len(places) < MAX_LISTED:
                    places[place] += 1
        elif event in _FILES:
            _keep(self._files, (os.fspath(args[0]), place))
        elif event == "subprocess.Popen":
            process = frame.f_locals.get("self")
            if isinstance(process, subprocess.Popen):
                _keep(self._starting, (process, place, _has_owner(frame)))
        else:
            _keep(self._sockets, (weakref.ref(args[0]), place))

    def add_process(self, pid: int, place: str) -> None:
        """Take a process that an event loop has started in the call."""
        if len(self._processes) < MAX_KEPT:
            self._processes[pid] = place

    async def clear(self) -> None:
        """End the processes that are left, and log what else is."""
        self._reap()
        for process, place, _ in self._starting:
            if process.returncode is None and process.pid:
                self._processes.setdefault(process.pid, place)
        await self._end_processes()
        self._reap()
        for kind, count, places in self._left():
            if count:
                logger.warning("the call has left {} {} behind: {}", count, kind, _listed(places))
        for kept in (self._starting, self._threads, self._sockets, self._files):
            kept.clear()
        self._opened.clear()
        self._processes.clear()

    def _reap(self) -> None:
        """Ask after the processes that no loop waits for: while a bot keeps its `Popen`, an ended one is a zombie."""
        for process, _, has_owner in self._starting:
            if not has_owner:
                process.poll()

    def _left(self) -> Iterator[tuple[str, int, list[str]]]:
        """Yield kinds, how many of each there are, and the places."""
        threads = [(one(), place) for one, place in self._threads]
        alive = [(one.name, at) for one, at in threads if one is not None and one.is_alive()]
        yield "running thread(s)", len(alive), _by_place(alive, "started")
        sockets = [(one(), place) for one, place in self._sockets]
        open_ones = [("", at) for one, at in sockets if one is not None and one.fileno() != -1]
        yield "open socket(s), if no pool keeps them", len(open_ones), _by_place(open_ones, "made")
        files = list(self._open_files())
        yield "open file(s)", len(files), files
        there = [(path, at) for path, at in self._files if os.path.lexists(path)]
        yield "temporary file(s)", len(there), _by_place(there, "made")

    def _open_files(self) -> Iterator[str]:
        """Yield the files that were opened in the call and are open now. The audit event has the path alone."""
        if not self._opened:
            return
        now = Counter(filter(None, map(_target, _listed_folder(OPEN_FILES))))
        for path, places in self._opened.items():
            if left := min(sum(places.values()), now[os.path.realpath(path)]):
                yield f"{path}, opened at {' or '.join(places)}{f', {left} times' if left > 1 else ''}"

    async def _end_processes(self) -> None:
        left = {pid: place for pid, place in self._processes.items() if _runs(pid)}
        if not left:
            return
        what = _listed(_by_place([(f"process {pid}", place) for pid, place in left.items()], "started"))
        logger.warning("the call has left {} child process(es) running: ended: {}", len(left), what)
        for how, wait_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
            for pid in left:
                if _runs(pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, how)
            deadline = asyncio.get_running_loop().time() + wait_s
            # Nobody tells of a child that another owner reaps.
            while any(map(_runs, left)) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _listed_folder(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:  # not Linux: nothing says which files are open
        return []


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def _keep(kept: list[Any], one: Any) -> None:
    if len(kept) < MAX_KEPT:
        kept.append(one)


def _by_place(things: list[tuple[str, str]], made: str) -> list[str]:
    """Return a text for each place: what was made there, by names if there are any, and how often."""
    names: dict[str, list[str]] = {}
    for name, place in things:
        names.setdefault(place, []).append(name)
    texts = []
    for place, some in names.items():
        more = f" and {len(some) - MAX_NAMES} more" if len(some) > MAX_NAMES else ""
        what = f"{', '.join(some[:MAX_NAMES])}{more}, " if some[0] else ""
        times = f", {len(some)} times" if len(some) > 1 and not some[0] else ""
        texts.append(f"{what}{made} at {place}{times}")
    return texts


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - MAX_LISTED} more" if len(places) > MAX_LISTED else ""
    return "; ".join(places[:MAX_LISTED]) + more


def _has_owner(frame: FrameType) -> bool:
    """Return whether a module of the standard library starts the thread or process, which ends or reaps it as well."""
    each: FrameType | None = frame
    for _ in range(MAX_BETWEEN):
        if each is None:
            return False
        if each.f_code.co_filename.endswith(_OWNERS):
            return True
        each = each.f_back
    return False


def _runs(pid: int) -> bool:
    """Return whether this is a child of ours that runs. It is not reaped here: that is its owner's."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    except ChildProcessError:
        return False


@functools.cache
def listen(current: Callable[[], CallLeftovers | None]) -> None:
    """Listen to audit events from now on, once a process: a hook cannot be taken out again.

    Args:
        current: Returns the leftovers of the call in whose context it is asked; None outside of calls.
    """

    events = _EVENTS  # the hook outlives its module, whose names are None at the end of the interpreter

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in events and (leftovers := current()) is not None:
            try:
                leftovers.take(event, args)
            except Exception:  # noqa: BLE001  what a hook raises would forbid the event
                logger.opt(exception=True).debug("what a call makes was not noted: {}", event)

    announce_thread_starts()
    sys.addaudithook(hook)


def watch_processes(loop: asyncio.AbstractEventLoop, current: Callable[[], CallLeftovers | None]) -> None:
    """Note the processes that `loop` starts: uvloop starts them without an audit event."""
    for name in ("subprocess_exec", "subprocess_shell"):
        inner = getattr(loop, name)

        @functools.wraps(inner)
        async def start(*args: Any, inner: Any = inner, **options: Any) -> Any:
            leftovers = current()
            place = None if leftovers is None else authors_place(sys._getframe(1))
            transport, protocol = await inner(*args, **options)
            if leftovers is not None and place is not None:
                leftovers.add_process(transport.get_pid(), place)
            return transport, protocol

        setattr(loop, name, start)
