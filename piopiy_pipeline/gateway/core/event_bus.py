"""The event bus: it tells subscribers, which show or keep it, what happens to calls. No I/O.

A call publishes what it became (`CallChanged`) and what was said in it (`ConversationReported`). Subscribers are
functions that take an event at once and never wait: the records put it into a queue of their own, the
console's connections into theirs. If one raises, neither the call nor the other subscribers notice.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from piopiy_pipeline.gateway.core.snapshots import CallSnapshot
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = ["BusEvent", "CallChanged", "ConversationReported", "EventBus", "Redacted", "Subscriber"]


@dataclass(frozen=True, slots=True)
class CallChanged:
    """A call was placed, offered elsewhere, answered, or ended. `when` is Unix time in seconds."""

    when: float
    call: CallSnapshot


@dataclass(frozen=True, slots=True)
class Redacted:
    """What was left out of the data of an event, because one receiver of webhooks alone is to know it."""

    receiver: str
    """The receiver's address."""
    data: dict[str, Any]
    """What was left out, by key."""
    on_answer: Callable[[bytes], Awaitable[None]] | None = None
    """Called with the body of its answer, once; never, if it does not answer. None: that is not read."""


@dataclass(frozen=True, slots=True)
class ConversationReported:
    """Something happened in a conversation: see `signaling.messages.ConversationEvent`.

    `number` counts the events of the call from 1, the partial ones too.
    """

    when: float
    call_id: str
    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]
    redacted: Redacted | None = None
    """Of no concern to any subscriber but webhooks. None: `data` is all."""

    @property
    def partial(self) -> bool:
        """Whether another will take its place: to be shown, not to be kept."""
        return self.event in ("user_partial", "bot_partial")


BusEvent = CallChanged | ConversationReported
Subscriber = Callable[[BusEvent], None]


class EventBus:
    """Tells the subscribers of a gateway what happens to its calls.

    Args:
        wall: The clock that people read: returns Unix time in seconds.
    """

    def __init__(self, *, wall: Callable[[], float] = time.time) -> None:
        self.wall = wall
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Tell `subscriber` of every event from now on. Returns the function that ends it."""
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers.remove(subscriber)

        return unsubscribe

    def publish(self, event: BusEvent) -> None:
        """Tell every subscriber. One that raises is logged, and the others are told nevertheless."""
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(event)
            except Exception:
                logger.exception("a subscriber to the events of calls failed")
