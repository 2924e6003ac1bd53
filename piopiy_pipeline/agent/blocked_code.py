"""Which code blocks an event loop, and which call it belongs to: looked at from another thread.

A call is known by its context variable. The context of what runs is in the loop's own frame below it; handlers of
events run in a copy of their call's context, which the emitter keeps meanwhile. uvloop's own frames are not Python, and
before Python 3.12 a task does not tell its context: there the list of a call's tasks says whose it is. Of a stack that
an endless recursion has made, only the innermost frames are looked at.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from piopiy_pipeline.code_places import callback_frames, place_of_work, where
from piopiy_pipeline.compat.asyncio import LOOP_TURN, context_of_callback
from piopiy_pipeline.session.call import current_call
from piopiy_pipeline.session.events import Emitter
from piopiy_pipeline.session.tasks import CallTasks, current_tasks

__all__ = ["MANY_TASKS", "UNKNOWN", "BlockedCode", "blocked_code_at", "calls_of_context", "find_blocked_code"]

UNKNOWN = "a place that is not Python"
_STACK = 12
MANY_TASKS = 500
SHARE = 0.8
"""What no call is known for, and is not Python, is the work of a loop with its tasks: that of the call which has so
many of them, and this part of all."""
OURS_S = 1.0
"""What this package itself does is an event of the call only if it took so long, in seconds."""


@dataclass(frozen=True, slots=True)
class BlockedCode:
    """What an event loop runs, and does not come back from.

    Attributes:
        call_id: The call whose code it is; None if it is of no call, or that is not known.
        place: File, line and function.
        stack: The innermost frames, each as a place.
        authors: Whether it is the author's code, or what that calls. Else this package works, for whoever waits there.
    """

    call_id: str | None
    place: str
    stack: tuple[str, ...] = ()
    authors: bool = True

    def matters(self, blocked_s: float) -> bool:
        """Return whether it is an event of its call that it has blocked the loop for so many seconds."""
        return self.authors or blocked_s >= OURS_S


def find_blocked_code(loop: asyncio.AbstractEventLoop, thread_id: int) -> BlockedCode | None:
    """Look at what `loop` runs just now in the thread of this id.

    Returns:
        What it runs; None if it runs nothing: it waits, or waits for a processor.
    """
    frame = sys._current_frames().get(thread_id)
    return None if frame is None else blocked_code_at(frame, loop, thread_id)


def blocked_code_at(frame: FrameType, loop: asyncio.AbstractEventLoop, thread_id: int) -> BlockedCode | None:
    """Return the same of the code whose innermost frame is given."""
    frames, below = callback_frames(frame)
    if not frames and below is not None and below.f_code is LOOP_TURN:
        return None
    call_id = next(_call_ids(frames, below, loop, thread_id), None)
    if not frames:
        return BlockedCode(call_id, UNKNOWN)
    place, authors = place_of_work(frames)
    return BlockedCode(call_id, place, tuple(where(each) for each in frames[:_STACK]), authors)


def _call_ids(
    frames: list[FrameType], below: FrameType | None, loop: asyncio.AbstractEventLoop, thread_id: int
) -> Iterator[str]:
    """Yield the ids of calls that the code may belong to, the likeliest first."""
    for context in Emitter.emitting.get(thread_id, ())[-1:]:
        yield from calls_of_context(context)
    task = asyncio.current_task(loop)
    if task is not None:
        if hasattr(task, "get_context"):  # Python 3.12
            yield from calls_of_context(task.get_context())
        tasks = CallTasks.owner_of(task)
        if tasks is not None:
            yield tasks.name
    if below is not None:
        yield from calls_of_context(context_of_callback(below))
    if not frames and (whose := CallTasks.with_most(MANY_TASKS, SHARE)) is not None:
        yield whose


def calls_of_context(context: Any) -> Iterator[str]:
    """Yield the id of the call that a context belongs to, perhaps twice; nothing if it is of none, or no context."""
    if not isinstance(context, contextvars.Context):
        return
    call = context.get(current_call)
    if call is not None:
        yield call.info.call_id
    tasks = context.get(current_tasks)
    if tasks is not None:
        yield tasks.name
