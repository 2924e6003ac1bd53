"""`OrderOfParts`: what providers say in one moment of a replay comes in the order in which it is in the capture.

Timers of one time have no order. So a transcript could come before the end of the speech that it is of, and the words
of the caller before the tool that they stood behind.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from heapq import heappop, heappush

from piopiy_pipeline.testing.replaying.answers import Part

__all__ = ["MOMENT_S", "OrderOfParts"]

MOMENT_S = 1e-4
"""What came without a request is said so many seconds late: behind what the same moment does by itself.

Times in a capture are rounded to a millionth of a second.
"""


class OrderOfParts:
    """When the parts of a replay's providers come, by the running loop's clock."""

    def __init__(self) -> None:
        self._planned: set[tuple[float, int]] = set()  # the moments to come, and the first number of each
        self._ready: list[tuple[int, int, Callable[[], None]]] = []
        self._ties = itertools.count()
        self._says = False  # what is ready is said, one part in every second turn of the loop
        self._moment = float("-inf")

    def plan(self, at: float, parts: list[tuple[Callable[[Part], None], Part]]) -> None:
        """Have parts that came without a request, in one moment, said again.

        Args:
            at: When, in the loop's seconds.
            parts: What is called with each part, and the part.
        """
        moment = (at, min(part.number for _, part in parts))
        self._planned.add(moment)
        asyncio.get_running_loop().call_at(at + MOMENT_S, self._begin, moment, parts)

    def now(self) -> float:
        """Return when a request is made that is made now, in the loop's seconds: not late, if what led to it was."""
        now = asyncio.get_running_loop().time()
        return self._moment if now - self._moment < 2 * MOMENT_S else now

    async def wait(self, asked: float, part: Part) -> None:
        """Wait until a part of an answer is due.

        Args:
            asked: When the answer was asked for, by `now`.
            part: The part.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, asked + part.after_s - loop.time()))
        if self._is_first(part.number):
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._add(part.number, lambda: None if turn.done() else turn.set_result(None))
        await turn

    def _is_first(self, number: int) -> bool:
        soon = asyncio.get_running_loop().time() + MOMENT_S / 2
        before = [first for at, first in self._planned if at <= soon]
        return number <= min(before + [first for first, *_ in self._ready[:1]], default=number)

    def _add(self, number: int, say: Callable[[], None]) -> None:
        heappush(self._ready, (number, next(self._ties), say))

    def _begin(self, moment: tuple[float, int], parts: list[tuple[Callable[[Part], None], Part]]) -> None:
        self._planned.discard(moment)
        self._moment = max(self._moment, moment[0])
        for tell, part in parts:
            self._add(part.number, lambda tell=tell, part=part: tell(part))  # type: ignore[misc]
        if not self._says:
            self._says = True
            self._say()

    def _say(self) -> None:
        if not self._ready:
            self._says = False
            return
        _, _, say = heappop(self._ready)
        try:
            say()
        finally:
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._say)  # who waited for this waits for the next part by then
