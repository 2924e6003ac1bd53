"""What is used of Python's asyncio beyond its documented interface.

Three things have no documented way. Who ends or blocks an event loop is told by the frames of the loop's own code, and
by the context that the loop keeps with each callback. A process that was forked inside a running loop still counts as
running one. And a loop whose clock is virtual (`testing.virtual_time`) has to know when its next timer is due.

None of it is for speed, and none of it is looked at while a call goes on. What uvloop does otherwise stands where it
is used.
"""

from __future__ import annotations

import asyncio
from types import CodeType, FrameType
from typing import Any

from piopiy_pipeline.compat import check_attributes

__all__ = [
    "CALLBACK_RUN",
    "LOOP_TURN",
    "SIGINT_RAISERS",
    "check",
    "context_of_callback",
    "drop_executor",
    "forget_running_loop",
    "has_ready",
    "next_timer_at",
    "take_wake",
    "wake",
]

PYTHON = ">=3.11,<3.15"


def check() -> None:
    """Check that Python's asyncio has what is used here.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    check_attributes(
        "Python",
        [
            (asyncio.Handle, "_run"),
            (asyncio.Handle, "_context"),
            (asyncio.BaseEventLoop, "_run_once"),
            (asyncio.BaseEventLoop, "_scheduled"),
            (asyncio.BaseEventLoop, "_ready"),
            (asyncio.BaseEventLoop, "_default_executor"),
            (asyncio.SelectorEventLoop, "_write_to_self"),
            (asyncio.SelectorEventLoop, "_read_from_self"),
            (asyncio.Runner, "_on_sigint"),
            (asyncio, "_set_running_loop"),
        ],
        written_for=PYTHON,
        used_in=__name__,
    )


check()

# ---------------------------------------------------------------------- whose code a frame is

CALLBACK_RUN: CodeType = asyncio.Handle._run.__code__
"""Runs one callback of a loop. It has no documented name, and a traceback has it by its code."""
LOOP_TURN: CodeType = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
"""One turn of asyncio's loop: a loop that waits is in it."""
SIGINT_RAISERS: tuple[CodeType, CodeType] = (
    asyncio.Runner._on_sigint.__code__,  # type: ignore[attr-defined]
    asyncio.Runner.run.__code__,
)
"""What raises `KeyboardInterrupt` for the operator: at the second Ctrl-C, and when the program has ended after the
first one."""


def context_of_callback(frame: FrameType) -> Any:
    """Return the context in which a loop runs the callback whose frame of the loop this is; None if it is no such."""
    return getattr(frame.f_locals.get("self"), "_context", None)


def forget_running_loop() -> None:
    """Have a process that was forked from within a loop run none. Python 3.12 and later do that at a fork."""
    asyncio._set_running_loop(None)


# ---------------------------------------------------------------------- a loop with a clock of its own


def next_timer_at(loop: asyncio.SelectorEventLoop) -> float | None:
    """Return when the next timer is due by the loop's clock, in seconds; None without one."""
    timers: list[asyncio.TimerHandle] = loop._scheduled  # type: ignore[attr-defined]
    return timers[0].when() if timers else None


def has_ready(loop: asyncio.SelectorEventLoop) -> bool:
    """Return whether callbacks wait for their turn."""
    return bool(loop._ready)  # type: ignore[attr-defined]


def wake(loop: asyncio.SelectorEventLoop) -> None:
    """Wake a loop from another thread, without a callback."""
    loop._write_to_self()  # type: ignore[attr-defined]


def take_wake(loop: asyncio.SelectorEventLoop) -> None:
    """Take what `wake` has written, so that the loop's selector does not find it again."""
    loop._read_from_self()  # type: ignore[attr-defined]


def drop_executor(loop: asyncio.SelectorEventLoop) -> None:
    """Let go of a loop's threads without waiting for what they do."""
    executor = loop._default_executor  # type: ignore[attr-defined]
    if executor is not None:
        executor.shutdown(wait=False, cancel_futures=True)
        loop._default_executor = None  # type: ignore[attr-defined]
