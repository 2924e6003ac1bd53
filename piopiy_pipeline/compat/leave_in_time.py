"""Bounds how long a service waits for its provider to take leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

__all__ = ["leave_in_time"]


def leave_in_time(service: Any, wait_s: float, socket: Callable[[], Any]) -> None:
    """Have a service drop a connection whose provider has not taken leave within so many seconds.

    The provider's leave comes behind all that it has sent before, which may be without end, and nobody reads it.

    Args:
        service: The service, which has a method `_disconnect`.
        wait_s: How long, in seconds.
        socket: Returns its WebSocket; None: none is open.
    """
    disconnect = service._disconnect

    async def in_time() -> None:
        transport = getattr(socket(), "transport", None)
        if transport is None:  # none is open, or a replay's
            await disconnect()
            return
        drops = asyncio.get_running_loop().call_later(wait_s, transport.abort)
        try:
            await disconnect()
        finally:
            drops.cancel()

    service._disconnect = in_time
