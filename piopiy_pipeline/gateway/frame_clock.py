"""The frame clock: one timer of the event loop that ticks every 20 ms, for all calls, while any call is live.

Frame ticks lie on a grid from the start, so that none is late because the one before it was. After a stall of
the loop there is one frame tick, with the time of the latest one that has passed: the playouts know how much of
what they missed they may catch up.

Half way to the next frame tick there is a half tick. At the frame tick bots are played, and at the half tick callers
are heard: so an agent has 10 ms for its answer to what it hears, and an order to be silent is in time for the next
frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.audio.frame import FRAME_S

__all__ = ["FrameClock"]

_EARLY_S = 0.001  # timers may fire by the resolution of the loop's clock too early


class FrameClock:
    """Calls `on_frame_tick` every 20 ms between `start` and `stop`, and `on_half_tick` once after each. Needs a running
    event loop.

    Args:
        on_frame_tick: Called with the frame tick's own time in seconds, of the event loop's clock.
        on_half_tick: Called 10 ms later, with its own time.
    """

    def __init__(self, on_frame_tick: Callable[[float], None], on_half_tick: Callable[[float], None]) -> None:
        self._on_frame_tick = on_frame_tick
        self._on_half_tick = on_half_tick
        self._loop = asyncio.get_running_loop()
        self._origin = 0.0
        self._ticks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._half_timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, if the clock does not run: the first frame tick is 20 ms from now."""
        if self._timer is None:
            self._origin = self._loop.time()
            self._ticks = 0
            self._arm()

    def stop(self) -> None:
        """Stop the clock, if it runs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._half_timer is not None:
            self._half_timer.cancel()
            self._half_timer = None

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._origin + (self._ticks + 1) * FRAME_S, self._on_timer)

    def _on_timer(self) -> None:
        missed, missed_half = self._half_timer, self._half_time
        passed = int((self._loop.time() - self._origin + _EARLY_S) / FRAME_S)
        self._ticks = max(passed, self._ticks + 1)
        self._arm()
        self._half_timer = self._loop.call_at(self._half_time, self._on_half)
        if missed is not None:  # the loop has stalled since the last frame tick
            missed.cancel()
            self._on_half_tick(missed_half)
        if self._timer is not None:
            self._on_frame_tick(self._origin + self._ticks * FRAME_S)

    @property
    def _half_time(self) -> float:
        return self._origin + (self._ticks + 0.5) * FRAME_S

    def _on_half(self) -> None:
        self._half_timer = None
        self._on_half_tick(self._half_time)
