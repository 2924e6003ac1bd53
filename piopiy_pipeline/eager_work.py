"""Work that begins in the turn of the loop in which it is asked for, and is a task only if it has to wait.

To put a frame into a queue that has room needs no task: to wake one costs more than the work does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

__all__ = ["EagerWork"]


class EagerWork:
    """Does one thing at a time.

    Args:
        spawn: Makes a task of what is left of work that waits, and owns it.
    """

    def __init__(self, spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]) -> None:
        self._spawn = spawn
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Begin some work, if nothing is under way.

        The work must not ask which task it is, before it has waited: it may be none.

        Returns:
            Whether it has begun, and perhaps ended.
        """
        if self._task is not None and not self._task.done():
            return False
        coroutine = work()
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            return True
        self._task = self._spawn(_rest(_Rest(coroutine, waits_for)))
        return True

    async def done(self) -> None:
        """Wait until nothing is under way."""
        if self._task is not None and self._task is not asyncio.current_task():
            await asyncio.wait({self._task})

    async def cancel(self, cancel_task: Callable[[asyncio.Task[None]], Awaitable[None]]) -> None:
        """End what is under way, by `cancel_task`."""
        task, self._task = self._task, None
        if task is not None and not task.done() and task is not asyncio.current_task():
            await cancel_task(task)


class _Rest:
    """What is left of a coroutine that waits for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        self._coroutine = coroutine
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, None]:
        waits_for = self._waits_for
        while True:
            try:
                try:
                    found = yield waits_for
                except BaseException as error:  # noqa: BLE001  a cancellation, too
                    waits_for = self._coroutine.throw(error)
                else:
                    waits_for = self._coroutine.send(found)
            except StopIteration:
                return


async def _rest(rest: _Rest) -> None:
    await rest
