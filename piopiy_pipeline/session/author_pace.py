"""`AuthorPace`: how often a bot's code may have one call do something.

Most of what `Call` offers returns at once, also when it can do nothing any more: a loop around it would never give way
to the other calls of the process, and fill the pipeline without end. So what comes too often waits a moment.
"""

from __future__ import annotations

import asyncio

from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["ACTS_PER_S", "AuthorPace"]

ACTS_PER_S = 30
"""So many acts of one call a second in the long run, twice as many at once: fewer messages than a client is sent."""


class AuthorPace:
    """The pace of one call."""

    def __init__(self) -> None:
        self._acts = TokenBucket(ACTS_PER_S, asyncio.get_running_loop().time())
        self._in_turn = asyncio.Lock()

    async def keep(self) -> None:
        """Wait, if this comes too soon after the others, and until those that came before have gone on."""
        async with self._in_turn:
            if not self._acts.take(asyncio.get_running_loop().time()):
                await asyncio.sleep(1 / ACTS_PER_S)
                self._acts.take(asyncio.get_running_loop().time())
