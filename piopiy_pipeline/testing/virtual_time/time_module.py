"""The `time` module inside a simulation: its functions read the simulation's clock, in its thread only.

They are replaced when a simulation begins and put back when it ends, whatever happens in between.
Other threads, and with them all work off the loop, see the real time throughout. `time.sleep` moves
the clock instead of waiting, so that code which blocks the loop is seen to block it; the standard
library's own sleeps, which wait for something outside (a child process, say), wait for it really, and
the clock stands still. Chance is seeded with it: `random`, numpy's global generator and `uuid.uuid4`.
"""

from __future__ import annotations

import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import numpy as np

__all__ = ["EPOCH", "Clock", "real_monotonic", "real_time", "seeded", "virtual_time"]

EPOCH = 1_750_000_000.0
"""What `time.time()` says when the virtual clock stands at 0: a Sunday in June 2025."""

real_monotonic = time.monotonic
"""The clock on the wall, inside a simulation too."""


class Clock(Protocol):
    """A clock that is moved and does not run."""

    now: float

    def advance(self, seconds: float, sleeper: FrameType) -> None:
        """Move on, as a thread that sleeps would see it. `sleeper` is the frame of what sleeps."""


_clocks: dict[int, Clock] = {}  # by the simulation's thread
_seeded: set[int] = set()
_one_at_a_time = threading.RLock()


class real_time:
    """Within this, the simulation's thread sees the real time, as a thread that works for it does."""

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        self._clock = _clocks.pop(self._thread, None)

    def __exit__(self, *_: object) -> None:
        if self._clock is not None:
            _clocks[self._thread] = self._clock


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _virtual(real: Callable[[], Any], read: Callable[[float], Any]) -> Callable[[], Any]:
    get_ident, clocks = threading.get_ident, _clocks

    def now() -> Any:
        clock = clocks.get(get_ident())
        return real() if clock is None else read(clock.now)

    now.__name__ = now.__qualname__ = real.__name__
    now.__doc__ = real.__doc__
    return now


_real_sleep = time.sleep


def _sleep(seconds: float, /) -> None:
    clock = _clocks.get(threading.get_ident())
    if clock is None or _of_the_library(sys._getframe(1)):
        _real_sleep(seconds)
    elif seconds < 0:
        raise ValueError("sleep length must be non-negative")
    else:
        clock.advance(seconds, sys._getframe(1))


def _of_the_library(frame: FrameType) -> bool:
    module: str = frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in sys.stdlib_module_names


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "time": _virtual(time.time, lambda now: EPOCH + now),
    "time_ns": _virtual(time.time_ns, lambda now: _nanoseconds(EPOCH + now)),
    "monotonic": _virtual(time.monotonic, lambda now: now),
    "monotonic_ns": _virtual(time.monotonic_ns, _nanoseconds),
    "perf_counter": _virtual(time.perf_counter, lambda now: now),
    "perf_counter_ns": _virtual(time.perf_counter_ns, _nanoseconds),
    "sleep": _sleep,
}


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within this, chance follows `seed`; what it was before is put back.

    One simulation at a time in a process, because chance is the process's. Another thread waits here.
    """
    with _one_at_a_time:
        thread = threading.get_ident()
        if thread in _seeded:
            raise RuntimeError("a simulation cannot run inside another one")
        real_uuid4, chance, numpy_chance = uuid.uuid4, random.getstate(), np.random.get_state()
        ids = random.Random(f"uuid {seed}")

        def uuid4() -> uuid.UUID:
            if threading.get_ident() != thread:
                return real_uuid4()
            return uuid.UUID(int=ids.getrandbits(128), version=4)

        _seeded.add(thread)
        try:
            uuid.uuid4 = uuid4
            random.seed(seed)
            np.random.seed(seed % 2**32)
            yield
        finally:
            uuid.uuid4 = real_uuid4
            random.setstate(chance)
            np.random.set_state(numpy_chance)
            _seeded.discard(thread)


@contextmanager
def virtual_time(clock: Clock, seed: int) -> Iterator[None]:
    """Within this, `time` reads `clock` in this thread, and chance follows `seed`."""
    with seeded(seed):
        thread = threading.get_ident()
        real = {name: getattr(time, name) for name in _FUNCTIONS}
        _clocks[thread] = clock
        try:
            for name, function in _FUNCTIONS.items():
                setattr(time, name, function)
            yield
        finally:
            for name, function in real.items():
                setattr(time, name, function)
            del _clocks[thread]
