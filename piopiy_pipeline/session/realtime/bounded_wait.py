"""`holds_within`: a wait in bounded time for what nobody tells of, such as the state of a provider's client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["POLL_S", "holds_within"]

POLL_S = 0.05


async def holds_within(condition: Callable[[], bool], within_s: float) -> bool:
    """Wait until a condition holds. Returns whether it does within so many seconds; nobody tells of it."""
    try:
        async with asyncio.timeout(within_s):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        return False
    return True
