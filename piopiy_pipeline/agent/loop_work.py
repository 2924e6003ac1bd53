"""`LoopWork`: how much the event loop of an agent computes in each turn, measured only while it has no rest.

A turn of 30 ms cannot be seen from outside: the watchdog looks ten times a second, and the loop has turned at each
look. But a loop that turns so slowly for long computes all the time, and that is seen for nothing: its thread has used
nearly all of the time that it had a processor. Only then a callback follows the loop from turn to turn.

What counts is the CPU time of the loop's thread, so neither a busy machine makes a turn long, nor a thread that
computes and keeps Python's lock, which is what `asyncio.to_thread` is for.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from contextlib import suppress

__all__ = ["BusyTime", "LoopWork"]

BUSY = 0.7
"""A loop has no rest if its thread computes for this part of the time in which it need not wait for a processor."""
BUSY_S = 0.5
"""Of so many seconds that it had in a row: less is an ordinary moment, such as the beginning of a call."""
MOST_LOOKS = 200
"""So many looks are added up at most, ten seconds or more, where a loop hardly gets a processor."""
REST_S = 0.005
"""A turn that computes for less ends the measurement, which begins again at the next look: it must not keep a loop
turning that has nothing to do."""
MOST_TURNS = 1000
"""So many turns are kept until the next look takes them. A loop that makes more of them makes short ones."""


class BusyTime:
    """For how long a loop has had no rest. No I/O.

    Looks are added up: while the thread waits for a processor, nobody knows for how long, so that a look takes that
    time for a rest, and the next one, when it is known, is told of more waiting than there was since.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()
        self._used_s = self._had_s = 0.0
        self.busy = False
        """Whether the loop has had no rest for half a second."""
        self.busy_s = 0.0
        """For how long it has had hardly any rest, without the time in which it waited for a processor, in seconds.
        """

    def look(self, used_s: float, had_s: float) -> None:
        """Take a look.

        Args:
            used_s: For how long the loop's thread has computed since the last look, in seconds.
            had_s: For how long it has not waited for a processor, in seconds. Below 0 if it is known only now that it
                has waited before.
        """
        self._looks.append((used_s, had_s))
        self._used_s += used_s
        self._had_s += had_s
        while len(self._looks) > 1 and (
            self._had_s - self._looks[0][1] >= BUSY_S or len(self._looks) > MOST_LOOKS
        ):
            first_used_s, first_had_s = self._looks.popleft()
            self._used_s -= first_used_s
            self._had_s -= first_had_s
        works = self._used_s >= BUSY * self._had_s
        self.busy = works and self._had_s >= 0.9 * BUSY_S  # looks are not even
        self.busy_s = max(0.0, self.busy_s + (had_s if works else -2 * had_s))


class LoopWork:
    """Measures one loop. Make it in the loop's thread; the rest but `_turn` is called in the watchdog's.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        find_clock = getattr(time, "pthread_getcpuclockid", None)  # neither macOS nor Windows has it
        self._clock: int | None = None if find_clock is None else find_clock(threading.get_ident())
        self._used_s = 0.0
        self._busy_time = BusyTime()
        self._measures = False
        self._turns: deque[float] = deque(maxlen=MOST_TURNS)
        self._turn_began = 0.0

    @property
    def busy(self) -> bool:
        """Whether the loop has had no rest for half a second."""
        return self._busy_time.busy

    @property
    def busy_s(self) -> float:
        """For how long it has had hardly any rest, without the time in which it waited for a processor, in seconds."""
        return self._busy_time.busy_s

    def look(self, had_s: float) -> list[float]:
        """Take a look, and measure if the loop has no rest.

        Args:
            had_s: How long the loop's thread has not waited for a processor since the last look, in seconds, as
                `BusyTime.look` takes it.

        Returns:
            The CPU times of those turns that have ended since the last look and were measured, in seconds.
        """
        if self._clock is None:
            return []
        try:
            now_s = time.clock_gettime(self._clock)
        except OSError:  # the thread has ended
            return []
        used_s, self._used_s = now_s - self._used_s, now_s
        self._busy_time.look(used_s, had_s)
        if self.busy and not self._measures:
            self._measures = True
            with suppress(RuntimeError):  # it was closed just now
                self._loop.call_soon_threadsafe(self._begin)
        turns: list[float] = []
        while self._turns:
            turns.append(self._turns.popleft())
        return turns

    def _begin(self) -> None:
        self._turn_began = time.thread_time()
        self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Take the time of a turn. It runs in the loop, once in each turn."""
        now = time.thread_time()
        turn_s, self._turn_began = now - self._turn_began, now
        if turn_s < REST_S:
            self._measures = False
            return
        self._turns.append(turn_s)
        self._loop.call_soon(self._turn)
