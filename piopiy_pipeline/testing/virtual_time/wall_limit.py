"""The limit on the wall's clock: what blocks the loop cannot be caught by the loop.

A thread waits for the limit. A loop that still turns is asked to stop; one that does not is
interrupted where it stands, and the line at which it stood is what the error names.
"""

from __future__ import annotations

import _thread
import ctypes
import signal
import sys
import threading
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.code_places import describe_thread

__all__ = ["Interrupted", "Watchdog"]

TURN_S = 0.3
"""A loop that turns takes notice within this."""
AGAIN_S = 1.0
"""How often code that swallows its interruption is interrupted again."""
TIMES = 10


class Interrupted(KeyboardInterrupt):
    """Raised in the simulation's thread. asyncio lets KeyboardInterrupt, and nothing else, out of a task."""


class Watchdog:
    """Watches the thread that makes it, for `limit_s` seconds of real time.

    `expired` calls `ask()`, which should make a loop that turns stop.
    """

    def __init__(self, limit_s: float, ask: Callable[[], None]) -> None:
        self.expired = False
        self.blocked: tuple[str, str] | None = None
        """Where the thread stood: the author's line, and the stack. None while it is not blocked."""
        self._limit_s = limit_s
        self._ask = ask
        self._watched = threading.get_ident()
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
        if self._over.wait(self._limit_s):
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
