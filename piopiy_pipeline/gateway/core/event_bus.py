"""Who watches: what happens to calls, told to whoever shows it or keeps it. No I/O.

A call tells what it became (`CallChanged`) and what was said in it (`ConversationTold`). Watchers are
functions that take it at once and never wait: the records put it into a queue of their own, the
console's connections into theirs. One that raises is logged, and neither the call nor the others notice.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = ["BusEvent", "CallChanged", "ConversationTold", "EventBus", "Subscriber"]


@dataclass(frozen=True, slots=True)
class CallChanged:
    """A call was placed, offered elsewhere, answered, or ended. `when` is Unix time in seconds."""

    when: float
    call: CallSnapshot


@dataclass(frozen=True, slots=True)
class ConversationTold:
    """Something happened in a conversation: see `signaling.messages.ConversationEvent`.

    `number` counts the events of the call from 1, the partial ones too.
    """

    when: float
    call_id: str
    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]

    @property
    def partial(self) -> bool:
        """Whether another will take its place: to be shown, not to be kept."""
        return self.event in ("user_partial", "bot_partial")


BusEvent = CallChanged | ConversationTold
Subscriber = Callable[[BusEvent], None]


class EventBus:
    """The watchers of a gateway. `wall` is the clock that people read: Unix time in seconds."""

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._watchers: list[Subscriber] = []

    def add(self, watcher: Subscriber) -> Callable[[], None]:
        """Tell `watcher` of everything from now on, until the function that this returns is called."""
        self._watchers.append(watcher)

        def remove() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return remove

    def tell(self, news: BusEvent) -> None:
        """Tell every watcher."""
        for watcher in tuple(self._watchers):
            try:
                watcher(news)
            except Exception:
                logger.exception("a watcher of calls failed")
