"""`CallTimers`: the timers that an author's code makes in a call (`call_later`, `call_at`), which end with it.

A timer is no task: nobody cancels it, and it would fire after its call has ended, or beside the next process that has
it. So those that a line of the author's has made are remembered, and cancelled at the end. A callback that asks the
loop for its next turn, again and again (`call_soon`), would keep the loop busy for ever: at the end of its call that is
refused. What libraries make is theirs. To look at each `call_soon` would cost every call a part of its time, so that is
done for the last turns of a call only. It works with uvloop as well, which does not tell what it has to do.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar, cast

from loguru import logger

from piopiy_pipeline.code_places import is_authors, where

__all__ = ["CallTimers", "follow_timers"]

MAX_KEPT = 100
"""So many timers of one call are remembered: the latest ones that have not fired."""
MAX_PLACES = 5
DUE_S = 0.005
"""One that was due a moment ago may not have fired: uvloop's clock stands during a turn."""
TURNS = 3
"""So many turns of the loop a call's callbacks are refused their next turn."""

_SOON = ("call_soon", "call_soon_threadsafe")

Current = Callable[[contextvars.Context | None], "CallTimers | None"]
"""Returns whose timer is made: in this context, or in the one that runs."""


class CallTimers:
    """The timers of one call.

    Args:
        name: The call, for the log.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        # Weakly: a timer that has fired would keep what it was given alive, such as the callback of a tool's result.
        self._kept: list[tuple[weakref.ref[asyncio.TimerHandle], str]] = []
        self._refused: Counter[str] = Counter()
        self._over = False

    def note(self, handle: asyncio.Handle, place: str) -> None:
        """Take what an author's line has asked the loop for."""
        if self._over:
            handle.cancel()
            self._refused[place] += 1
        elif hasattr(handle, "when"):  # uvloop's timers have no class in common with asyncio's
            if len(self._kept) >= MAX_KEPT:
                self._kept = [kept for kept in self._kept if _waits(kept[0])][-MAX_KEPT + 1 :]
            self._kept.append((weakref.ref(cast(asyncio.TimerHandle, handle)), place))

    async def clear(self) -> None:
        """Cancel what is left, and log where it was made."""
        self._over = True
        left = Counter(place for kept, place in self._kept if _waits(kept))
        for kept, _ in self._kept:
            if (timer := kept()) is not None:
                timer.cancel()
        self._kept.clear()
        with _SoonGate(asyncio.get_running_loop()):
            for _ in range(TURNS):
                await asyncio.sleep(0)
        left += self._refused
        if left:
            places = [
                f"made at {place}{f', {times} times' if times > 1 else ''}" for place, times in left.items()
            ]
            more = f" and {len(places) - MAX_PLACES} more" if len(places) > MAX_PLACES else ""
            logger.bind(call_id=self.name).warning(
                "the call has left {} timer(s) or callback(s) of the event loop behind: cancelled: {}{}",
                left.total(),
                "; ".join(places[:MAX_PLACES]),
                more,
            )


def _waits(kept: weakref.ref[asyncio.TimerHandle]) -> bool:
    timer = kept()
    if timer is None or timer.cancelled():
        return False
    return timer.when() > asyncio.get_running_loop().time() - DUE_S


class _SoonGate:
    """Looks at all that is asked of a loop for its next turn, while any call ends.

    Args:
        loop: One whose timers are followed.
    """

    _users: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, int]] = weakref.WeakKeyDictionary()

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __enter__(self) -> None:
        users = self._users[self._loop] = self._users.get(self._loop, 0) + 1
        current = getattr(self._loop.call_later, "current", None)
        if users == 1 and current is not None:
            for name in _SOON:
                if name not in vars(self._loop):
                    _follow(self._loop, name, current)

    def __exit__(self, *_: object) -> None:
        users = self._users[self._loop] = self._users[self._loop] - 1
        if users:
            return
        for name in _SOON:
            if hasattr(vars(self._loop).get(name), "current"):
                delattr(self._loop, name)


def follow_timers(loop: asyncio.AbstractEventLoop, current: Current) -> None:
    """Remember the timers that authors' code makes in `loop`."""
    for name in ("call_later", "call_at"):
        _follow(loop, name, current)


def _follow(loop: asyncio.AbstractEventLoop, name: str, current: Current) -> None:
    inner = getattr(loop, name)

    def schedule(*args: Any, context: contextvars.Context | None = None) -> Any:
        handle = inner(*args, context=context)
        timers = current(context)
        if timers is not None and is_authors(frame := sys._getframe(1)):
            timers.note(handle, where(frame))
        return handle

    schedule.current = current  # type: ignore[attr-defined]
    setattr(loop, name, schedule)
