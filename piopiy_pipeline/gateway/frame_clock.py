"""The beat that all calls are played to: one timer of the event loop, every 20 ms, while any call is live.

Beats lie on a grid from the start, so that none is late because the one before it was. After a stall
of the loop there is one beat, with the time of the latest that has passed: the playouts know how much
of what they missed they may catch up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from piopiy_pipeline.audio.playout import FRAME_MS

__all__ = ["FrameClock"]

_BEAT_S = FRAME_MS / 1000
_EARLY_S = 0.001  # timers may fire by the resolution of the loop's clock too early


class FrameClock:
    """Calls `on_beat(now)` every 20 ms between `start` and `stop`, with the beat's own time in seconds."""

    def __init__(self, on_beat: Callable[[float], None]) -> None:
        self._on_beat = on_beat
        self._loop = asyncio.get_running_loop()
        self._origin = 0.0
        self._beats = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, if it is not running: the first beat is 20 ms from now."""
        if self._timer is None:
            self._origin = self._loop.time()
            self._beats = 0
            self._arm()

    def stop(self) -> None:
        """No more beats."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self._timer = self._loop.call_at(self._origin + (self._beats + 1) * _BEAT_S, self._beat)

    def _beat(self) -> None:
        passed = int((self._loop.time() - self._origin + _EARLY_S) / _BEAT_S)
        self._beats = max(passed, self._beats + 1)
        self._arm()
        self._on_beat(self._origin + self._beats * _BEAT_S)
