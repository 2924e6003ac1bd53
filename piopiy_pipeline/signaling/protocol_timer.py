"""`ProtocolTimer`: wakes a protocol without I/O at the time that it asks for, on a running event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["ProtocolTimer"]


class ProtocolTimer:
    """One timer for one protocol. Call `arm` whenever the protocol may want to be woken at another time.

    Args:
        loop: The event loop.
        wake_at: Returns when the protocol wants to be woken, by the loop's clock; None: not at all.
        tick: Called at that time. The timer is armed again afterwards.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        wake_at: Callable[[], float | None],
        tick: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._wake_at = wake_at
        self._tick = tick
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: float | None = None
        self._closed = False

    def arm(self) -> None:
        """Set the timer for the time that the protocol asks for now."""
        wake_at = None if self._closed else self._wake_at()
        if wake_at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = wake_at
        self._timer = None if wake_at is None else self._loop.call_at(wake_at, self._fire)

    def close(self) -> None:
        """Wake the protocol no more."""
        self._closed = True
        self.arm()

    def _fire(self) -> None:
        self._timer = self._timer_at = None
        self._tick()
        self.arm()
