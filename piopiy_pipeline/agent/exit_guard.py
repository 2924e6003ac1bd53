"""`ExitGuard`: sees to it that the process ends after a SIGTERM, whatever an author's code does.

`Agent` handles SIGTERM, so the system's default (to end at once) is gone, and two things can keep the process
for ever: a task that swallows its cancellation in a loop, for which `asyncio.run` waits without a bound, and
code that never returns to the event loop, which then does not hear the signal at all. A thread watches for
both. When the time is over it logs which code did not end, and ends the process: the gateway then offers the
calls to other instances, as after a crash.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import ClassVar

from loguru import logger

from piopiy_pipeline.code_places import describe_tasks, describe_thread

__all__ = ["ExitGuard", "guard_exit"]

HEARD_S = 15.0
"""How long the event loop may stand still from a SIGTERM on. A gateway gives up a silent agent after 30 s."""
CLOSE_S = 30.0
"""How long the calls may take to end: `Session` bounds each of its steps, and this is their sum."""
EXIT_S = 15.0
"""How long the process may take to end once `Agent.connect` has: for what an author's program does last."""
EXIT_STATUS = 1
_POLL_S = 0.1


def guard_exit(loop: asyncio.AbstractEventLoop, on_sigterm: Callable[[], None]) -> ExitGuard | None:
    """Return the guard of this process, where SIGTERM can be handled: in the main thread, and not on Windows.

    A program may have several agents. They have one guard, and the process is to end when the last of them has.

    Args:
        loop: The event loop of the agent.
        on_sigterm: Called in the loop for each SIGTERM. It stands for the agent in the guard's methods.
    """
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        return None
    guard = ExitGuard.current
    if guard is None or guard.loop is not loop:
        guard = ExitGuard(loop)
    guard.join(on_sigterm)
    return guard


class ExitGuard:
    """Watches one process from its first SIGTERM on. Use it in the main thread, where signals are handled.

    Args:
        loop: The event loop of its agents.
    """

    current: ClassVar[ExitGuard | None] = None
    """The one that handles SIGTERM now."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._agents: list[Callable[[], None]] = []
        self._deadlines: dict[Callable[[], None] | None, tuple[float, str]] = {}  # None: of the program
        self._main_thread = threading.get_ident()
        self._before = signal.getsignal(signal.SIGTERM)
        self._watching = False
        self._turned_at = 0.0  # when the loop was seen to turn
        loop.add_signal_handler(signal.SIGTERM, self._heard)
        # The loop is woken by a file descriptor. This handler runs even if the loop is never reached.
        signal.signal(signal.SIGTERM, self._signalled)
        ExitGuard.current = self

    def join(self, on_sigterm: Callable[[], None]) -> None:
        """Guard one more agent."""
        self._agents.append(on_sigterm)

    def closing(self, on_sigterm: Callable[[], None]) -> None:
        """Note that an agent closes. After a SIGTERM, it has `CLOSE_S` for that."""
        if self._watching:
            self._limit(on_sigterm, CLOSE_S, "calls do not end")

    def close(self, on_sigterm: Callable[[], None]) -> None:
        """Guard an agent no more. With the last one, SIGTERM is handled no more; after one, the process has `EXIT_S`
        to end.
        """
        self._agents.remove(on_sigterm)
        self._deadlines.pop(on_sigterm, None)
        if self._agents:
            return
        self.loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, self._before)
        if ExitGuard.current is self:
            ExitGuard.current = None
        if self._watching:
            self._limit(None, EXIT_S, "the program goes on after Agent.connect()")

    def _signalled(self, _: int, __: FrameType | None) -> None:
        if not self._watching:
            self._watching = True
            self._turned_at = time.monotonic()
            threading.Thread(target=self._watch, name="piopiy exit guard", daemon=True).start()

    def _heard(self) -> None:
        for on_sigterm in list(self._agents):
            on_sigterm()

    def _turned(self) -> None:
        self._turned_at = time.monotonic()

    def _limit(self, whose: Callable[[], None] | None, seconds: float, why: str) -> None:
        self._deadlines[whose] = time.monotonic() + seconds, why

    def _watch(self) -> None:
        """Look every `_POLL_S`. Calls under way may take as long as they like, if only the loop turns."""
        while True:
            time.sleep(_POLL_S)
            with suppress(RuntimeError):  # the loop is closed: `EXIT_S` counts
                self.loop.call_soon_threadsafe(self._turned)
                if time.monotonic() - self._turned_at >= HEARD_S and not self._deadlines:
                    self._end_process("the event loop is blocked")
            for at, why in list(self._deadlines.values()):
                if time.monotonic() >= at:
                    self._end_process(why)

    def _end_process(self, why: str) -> None:
        try:
            logger.critical(
                "the agent is ended by force after SIGTERM, because {}. {}", why, self._culprits()
            )
            sys.stderr.flush()
        finally:  # whatever is wrong with the words
            os._exit(EXIT_STATUS)

    def _culprits(self) -> str:
        """Name the code that did not end: the main thread's, that of other threads, and that of tasks."""
        frames = sys._current_frames()
        lines = []
        for thread in threading.enumerate():
            frame = frames.get(thread.ident or 0)
            if frame is None or (thread.daemon and thread.ident != self._main_thread):
                continue
            place, _ = describe_thread(frame)
            if not place.endswith(" in _worker"):  # a thread of a pool that waits for work
                lines.append(f"  {thread.name} is at {place}")
        return "\n".join(("threads:", *lines, "tasks:", describe_tasks(self.loop)))
