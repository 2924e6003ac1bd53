"""Tells the places of code, the author's first: what a task waits for, what keeps a thread, where something was made.

They are read from frames and tasks when something is wrong already; nothing here runs in a call that is well.
"""

from __future__ import annotations

import asyncio
import re
import sysconfig
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = [
    "MAX_LOOKED_AT",
    "authors_place",
    "callback_frames",
    "describe_task",
    "describe_tasks",
    "describe_thread",
    "file_and_line",
    "is_authors",
    "is_authors_path",
    "place_of",
    "place_of_work",
    "where",
]

_PACKAGE = str(Path(__file__).resolve().parent)
_FACE = str(Path(__file__).resolve().parents[1] / "piopiy") + "/"
"""The modules of Piopiy's names, which lead to this package."""
_AROUND_ASYNCIO = ("/session/call_timers.py", "/session/tasks.py", "/session/visible_tasks.py")
"""What of this package stands around functions of asyncio's: who calls those is who takes the time."""
_LIBRARIES = tuple(
    path for path in (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
)
_LOOP_FRAMES = frozenset(
    {
        "BaseEventLoop._run_once",
        "BaseEventLoop.run_forever",
        "BaseEventLoop.run_until_complete",
        "Handle._run",
        "Runner.run",
        "run",
    }
)
MAX_TASKS = 60
MAX_LOOKED_AT = 1000
"""So many tasks are looked at to name the first of them: a loop may have a million."""
MAX_FRAMES = 200
"""So many of the innermost frames of a stack are kept. An endless recursion has millions, and each frame that is looked
at becomes an object of its own, for which the thread that is looked at has to wait."""
MAX_DEPTH = 2000
"""So deep the loop's own frame is looked for: Python's own limit on recursion is 1000."""


def describe_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Each task of `loop` that is not done: its name, and the innermost place at which it waits.

    Where that place is in a library, the author's own line that led there is named too; tasks that
    wait in the author's code come first.
    """
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    tasks = [(task.get_name(), list(_suspended(task.get_coro()))) for task in left[:MAX_LOOKED_AT]]
    tasks.sort(key=lambda task: (not any(map(is_authors, task[1])), _natural(task[0])))
    lines = [f"  {name} waits at {_places(frames)}" for name, frames in tasks]
    if len(left) > MAX_TASKS:
        lines[MAX_TASKS:] = [f"  and {len(left) - MAX_TASKS} more tasks"]
    return "\n".join(lines) or "  no task is left"


def describe_task(task: asyncio.Task[Any]) -> str:
    """Return the coroutine of a task, and where it waits: ``on_answered waits at my_bot.py:12 in on_answered``."""
    coroutine = task.get_coro()
    name = getattr(coroutine, "__qualname__", None) or type(coroutine).__name__
    return f"{name} waits at {_places(list(_suspended(coroutine)))}"


def describe_thread(frame: FrameType) -> tuple[str, str]:
    """Return the author's line that a running thread is in (or else the innermost), and the stack."""
    frames = list(islice(_stack(frame), MAX_FRAMES))
    return place_of(frames), "\n".join(f"  {where(each)}" for each in frames[:40])


def callback_frames(frame: FrameType) -> tuple[list[FrameType], FrameType | None]:
    """Return the frames of what an event loop runs just now, the innermost first, and the loop's own frame below them.

    Args:
        frame: The innermost frame of the loop's thread.

    Returns:
        No frames if it runs code that is not Python, or waits for something to happen; `MAX_FRAMES` at most. The loop's
        own frame is None where no loop runs, or where it is more than `MAX_DEPTH` frames below.
    """
    frames: list[FrameType] = []
    for each in islice(_stack(frame), MAX_DEPTH):
        path = each.f_code.co_filename
        if each.f_code.co_qualname in _LOOP_FRAMES and ("asyncio" in path or "uvloop" in path):
            waits = len(frames) == 1 and frames[0].f_code.co_name == "select"
            return ([] if waits else frames), each
        if len(frames) < MAX_FRAMES:
            frames.append(each)
    return frames, None


def place_of(frames: Sequence[FrameType]) -> str:
    """Return the author's line that is innermost, or else the innermost line."""
    return where(next((each for each in frames if is_authors(each)), frames[0]))


def place_of_work(frames: Sequence[FrameType]) -> tuple[str, bool]:
    """Return the place of code that takes time, and whether it is the author's.

    What this package does while the author's code waits for it is its own: then both places are named.

    Args:
        frames: The innermost first.
    """
    for at, each in enumerate(frames):
        if is_authors(each):
            return where(each), True
        if _is_ours(each):
            author = next((below for below in frames[at:] if is_authors(below)), None)
            return where(each) + ("" if author is None else f", called at {where(author)}"), False
    return where(frames[0]), True


def authors_place(frame: FrameType | None) -> str | None:
    """Return the author's line that is innermost on the stack of `frame`.

    Returns:
        None if there is none, or if this package is called in between: what it does then is its own.
    """
    for each in islice(() if frame is None else _stack(frame), MAX_DEPTH):
        if _is_ours(each):
            return None
        if is_authors(each):
            return where(each)
    return None


def _stack(frame: FrameType) -> Iterator[FrameType]:
    """Yield a frame, and those below it. Nothing bounds how many there are."""
    each: FrameType | None = frame
    while each is not None:
        yield each
        each = each.f_back


def where(frame: FrameType) -> str:
    """Return the place of a frame, such as ``path/bot.py:12 in on_new_session``."""
    return f"{file_and_line(frame.f_code.co_filename, frame.f_lineno)} in {frame.f_code.co_qualname}"


def file_and_line(path: str, line: int) -> str:
    """Return a place such as ``path/bot.py:12``, as short as it can be found by."""
    return f"{_short(path)}:{line}"


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that puts Task-10 after Task-9."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _suspended(coroutine: Any) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, from the outermost to the innermost."""
    seen = 0
    while coroutine is not None and seen < 100:
        seen += 1
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(coroutine, f"{prefix}_frame", None)
            if frame is not None:
                yield frame
                break
        coroutine = next(
            (
                inner
                for name in ("cr_await", "gi_yieldfrom", "ag_await")
                if (inner := getattr(coroutine, name, None)) is not None
            ),
            None,
        )


def _places(stack: Sequence[FrameType]) -> str:
    if not stack:
        return "a place that is not Python"
    innermost = stack[-1]
    own = next((frame for frame in reversed(stack) if is_authors(frame)), None)
    if own is None or own is innermost:
        return where(innermost)
    return f"{where(own)} (in {where(innermost)})"


def _is_ours(frame: FrameType) -> bool:
    """Return whether this is what this package does, and not merely stands around a function of asyncio's."""
    path = frame.f_code.co_filename
    return path.startswith(_PACKAGE) and not path.endswith(_AROUND_ASYNCIO)


def is_authors(frame: FrameType) -> bool:
    """Return whether this is neither a library's code nor this package's."""
    return is_authors_path(frame.f_code.co_filename)


def is_authors_path(path: str) -> bool:
    """Return the same of a file."""
    if path.startswith("<"):
        return False
    return not path.startswith((_PACKAGE, _FACE, *_LIBRARIES)) and "site-packages" not in path


def _short(path: str) -> str:
    for root in (str(Path.cwd()), *_LIBRARIES, str(Path(_PACKAGE).parent)):
        if path.startswith(root + "/"):
            return path[len(root) + 1 :]
    return path
