"""`ProtocolTimer`: wakes a state machine without I/O at the time that it asks for, on a running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["ProtocolTimer"]

REST_S = 0.1
"""How long a state machine whose `tick` has failed is not woken, in seconds: else it would fail without end."""


class ProtocolTimer:
    """One timer for one state machine. Call `arm` whenever it may want to be woken at another time.

    Args:
        loop: The event loop.
        wake_at: Returns when the state machine wants to be woken, by the loop's clock; None: not at all.
        tick: Called at that time, with the time: never one before that which was asked for, although some loops fire
            timers by the resolution of their clock too early. The timer is armed again afterwards, also if it fails.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        wake_at: Callable[[], float | None],
        tick: Callable[[float], object],
    ) -> None:
        self._loop = loop
        self._wake_at = wake_at
        self._tick = tick
        self._timer: asyncio.Handle | None = None
        self._timer_at: float | None = (
            None  # uvloop's handles do not tell: one that is due at once has no time
        )
        self._rests_until = float("-inf")  # behind a failure
        self._closed = False

    def arm(self) -> None:
        """Set the timer for the time that the state machine asks for now."""
        wake_at = None if self._closed else self._wake_at()
        if wake_at is not None:
            wake_at = max(wake_at, self._rests_until)
        if wake_at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = wake_at
        self._timer = None if wake_at is None else self._loop.call_at(wake_at, self._fire, wake_at)

    def close(self) -> None:
        """Wake the state machine no more."""
        self._closed = True
        self.arm()

    def _fire(self, due: float) -> None:
        self._timer = self._timer_at = None
        try:
            self._tick(max(self._loop.time(), due))
        except Exception:
            self._rests_until = self._loop.time() + REST_S
            raise  # the loop logs it
        finally:
            self.arm()
