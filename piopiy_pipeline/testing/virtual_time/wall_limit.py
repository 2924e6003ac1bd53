"""The limit on the wall's clock: what blocks the loop cannot be caught by the loop.

A thread waits for the limit. A loop that still turns is asked to stop; one that does not is
interrupted where it stands, and the line at which it stood is what the error names. Before that, the author's code that
keeps a loop in virtual time for long is logged: on a real call everybody waits meanwhile, and the
clock does not show it.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import sys
import threading
import time
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.agent.linux_process import processor_wait_s
from piopiy_pipeline.code_places import callback_frames, describe_thread, place_of_work

__all__ = ["Interrupted", "Watchdog"]

TURN_S = 0.3
"""A loop that turns takes notice within this."""
AGAIN_S = 1.0
"""How often code that swallows its interruption is interrupted again."""
TIMES = 10
LOOK_S = 0.25
BLOCKED_S = 1.0
"""Code that keeps a loop for so many real seconds is named. Time in which it waited for a processor does not count."""


class Interrupted(KeyboardInterrupt):
    """Raised in the simulation's thread. asyncio lets KeyboardInterrupt, and nothing else, out of a task."""


class Watchdog:
    """Watches the thread that makes it, for `limit_s` seconds of real time.

    `expired` calls `ask()`, which should make a loop that turns stop. `turns()` returns a number that changes whenever
    the loop turns; without it nothing is said before the limit.
    """

    def __init__(
        self, limit_s: float, ask: Callable[[], None], *, turns: Callable[[], int] | None = None
    ) -> None:
        self.expired = False
        self.blocked: tuple[str, str] | None = None
        """Where the thread stood: the author's line, and the stack. None while it is not blocked."""
        self._limit_s = limit_s
        self._ask = ask
        self._turns = turns
        self._watched = threading.get_ident()
        self._kernel_thread = threading.get_native_id()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="simulation watchdog", daemon=True)

    def start(self) -> None:
        """Begin to count the real time."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. Nothing is interrupted after this returns."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        if self._waits_for_end():
            return
        self.expired = True
        self._ask()
        if self._over.wait(TURN_S):
            return
        frame = sys._current_frames().get(self._watched)
        if frame is not None:
            self.blocked = describe_thread(frame)
        for n in range(TIMES):
            self._interrupt(hard=n > 0)
            if self._over.wait(AGAIN_S):
                return
        logger.critical(
            "a simulation cannot be interrupted; it stands at {}", self.blocked and self.blocked[0]
        )

    def _waits_for_end(self) -> bool:
        """Wait for the limit. Returns whether the end came before."""
        if self._turns is None:
            return self._over.wait(self._limit_s)
        since = now = time.monotonic()
        until, seen, logged = now + self._limit_s, -1, False
        waited_s = processor_wait_s(self._kernel_thread)
        while now < until:
            if self._over.wait(min(LOOK_S, until - now)):
                return True
            now = time.monotonic()
            before_s, waited_s = waited_s, processor_wait_s(self._kernel_thread)
            since += waited_s - before_s
            if (turns := self._turns()) != seen:
                seen, since, logged = turns, now, False
            elif not logged and now - since >= BLOCKED_S:
                logged = True
                self._tell(now - since)
        return False

    def _tell(self, blocked_s: float) -> None:
        """Log what blocks the loop, if it is the author's code."""
        frame = sys._current_frames().get(self._watched)
        frames = [] if frame is None else callback_frames(frame)[0]
        place, authors = place_of_work(frames) if frames else ("", False)
        if authors:
            logger.warning(
                "the event loop has been blocked for {:.1f} s of real time at {}: on a real call everybody waits. What "
                "takes time belongs in a thread, or needs an await",
                blocked_s,
                place,
            )

    def _interrupt(self, *, hard: bool) -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._watched), ctypes.py_object(Interrupted)
        )
        if hard and self._watched == threading.main_thread().ident:
            # A system call that blocks does not see that; a signal ends it.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.pthread_kill(self._watched, signal.SIGINT)
            else:
                _thread.interrupt_main()
