"""`Saves`: what becomes of `Call.save()` when it is called often, or several times at once.

One save is under way; those that come meanwhile share the next one, which carries the newest state. Their number a
second is bounded, and each gives the event loop to others: a bot that saves in a loop must not spend what the calls of
an agent have together, nor hold them up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["PAUSE_S", "SAVES_PER_S", "Saves"]

SAVES_PER_S = 10
"""So many saves of one call a second in the long run, twice as many at once."""
PAUSE_S = 1 / SAVES_PER_S
"""How long a save waits that comes too soon, in seconds, and one that has nobody to save for."""


class Saves:
    """The saves of one call.

    Args:
        save: Saves the state as it is then, and waits at most so many seconds. Returns whether the gateway has it.
    """

    def __init__(self, save: Callable[[float], Awaitable[bool]]) -> None:
        self._save = save
        self._lock = asyncio.Lock()
        self._asked = 0
        self._kept = 0  # the last save that the gateway has
        self._rate: TokenBucket | None = None

    async def save(self, timeout_s: float) -> bool:
        """Save what there is now, alone or with the others that wait for it.

        Args:
            timeout_s: How long to wait, in seconds.

        Returns:
            Whether the gateway has it.

        Raises:
            ValueError: It cannot be saved.
        """
        self._asked += 1
        number = self._asked
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(timeout_s):
                async with self._lock:
                    if self._kept >= number:
                        return True
                    await self._in_turn()
                    covers = self._asked
                    kept = await self._save(timeout_s)
                    if kept:
                        self._kept = covers
                    return kept
        except TimeoutError:
            return False

    async def _in_turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._rate is None:
            self._rate = TokenBucket(SAVES_PER_S, loop.time())
        if not self._rate.take(loop.time()):
            await asyncio.sleep(PAUSE_S)
            self._rate.take(loop.time())
