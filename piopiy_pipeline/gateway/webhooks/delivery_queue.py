"""The messages that one receiver has not got yet, and when each is tried. No I/O.

The messages of one call are delivered in order: the next one is tried when the one before was delivered or
given up. Calls do not wait for each other. A message that fails is tried again after growing pauses, for hours.
The queue is bounded: when there is no room, what waits stays, and what comes is lost and counted.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Literal

from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage

__all__ = ["PAUSES_S", "DeliveryAttempt", "DeliveryQueue", "DeliveryReply", "Verdict"]

PAUSES_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0)
"""How long to wait after each attempt that failed: nine attempts in eight hours."""
JITTER = 0.2
"""Each pause is longer or shorter by up to this share of it, so that not all calls are tried again at once."""

Verdict = Literal["delivered", "again", "given_up", "gone"]


@dataclass(frozen=True, slots=True)
class DeliveryReply:
    """The outcome of an attempt: an HTTP status, or None and in `detail` why there was none."""

    status: int | None
    retry_after_s: float | None = None
    detail: str = ""

    @property
    def is_success(self) -> bool:
        """Whether the message was delivered."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.detail if self.status is None else f"it answered {self.status}"


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """An attempt to deliver a message. `number` counts the attempts of this message from 1."""

    message: WebhookMessage
    number: int


class DeliveryQueue:
    """The messages of one receiver. Every `now` is in seconds, on one clock.

    `lost` counts the messages for which there was no room, `given_up` those that failed too often, `dropped`
    those that the receiver no longer wanted (410).

    Args:
        random: Returns numbers from 0 to 1, for the pauses.
        max_messages: The most messages that wait.
        max_bytes: The most bytes of messages that wait.
        at_once: The most attempts under way.
        on_dropped: Called at a 410 with each message that was queued before, those under way included.
    """

    def __init__(
        self,
        *,
        random: Callable[[], float],
        max_messages: int = 10_000,
        max_bytes: int = 32 << 20,
        at_once: int = 8,
        on_dropped: Callable[[WebhookMessage], None] = lambda _: None,
    ) -> None:
        self.lost = self.given_up = self.dropped = 0
        self.gone = False
        """Whether the receiver answered that it wants no more messages (410)."""
        self._random = random
        self._on_dropped = on_dropped
        self._max_messages, self._max_bytes, self._at_once = max_messages, max_bytes, at_once
        self._calls: dict[str, deque[WebhookMessage]] = {}
        self._tries: dict[str, int] = {}  # attempts of the first message of each call
        self._due: list[tuple[float, int, str]] = []
        self._order = count()
        self._under_way: set[str] = set()
        self._waiting = self._bytes = 0

    def __len__(self) -> int:
        """Return how many messages are not delivered yet, including those under way."""
        return self._waiting

    def add(self, message: WebhookMessage, now: float) -> bool:
        """Queue a message. Returns False if it is lost or dropped."""
        if self.gone:
            self.dropped += 1
            return False
        if self._waiting >= self._max_messages or self._bytes + len(message.body) > self._max_bytes:
            self.lost += 1
            return False
        self._waiting += 1
        self._bytes += len(message.body)
        queue = self._calls.get(message.call_id)
        if queue is None:
            self._calls[message.call_id] = deque([message])
            self._schedule(message.call_id, now)
        else:
            queue.append(message)
        return True

    @property
    def busy(self) -> bool:
        """Whether attempts are under way."""
        return bool(self._under_way)

    @property
    def wake_at(self) -> float | None:
        """When to call `next`, in seconds. None: not before the next call of `add` or `reply`."""
        if len(self._under_way) >= self._at_once or not self._due:
            return None
        return self._due[0][0]

    def next(self, now: float) -> DeliveryAttempt | None:
        """Return the attempt to make now, if one is due. Pass its result to `reply`."""
        wake_at = self.wake_at
        if wake_at is None or wake_at > now:
            return None
        call_id = heapq.heappop(self._due)[2]
        self._under_way.add(call_id)
        self._tries[call_id] = self._tries.get(call_id, 0) + 1
        return DeliveryAttempt(self._calls[call_id][0], self._tries[call_id])

    def reply(self, attempt: DeliveryAttempt, reply: DeliveryReply, now: float) -> Verdict:
        """Note the answer to an attempt. Returns what becomes of the message."""
        call_id = attempt.message.call_id
        self._under_way.discard(call_id)
        if self.gone:  # the reply to another attempt was 410
            return "gone"
        if reply.status == 410:
            self._leave()
            return "gone"
        verdict: Verdict = "delivered"
        if not reply.is_success:
            if attempt.number <= len(PAUSES_S):
                self._schedule(call_id, now + self._pause_s(attempt.number, reply))
                return "again"
            self.given_up += 1
            verdict = "given_up"
        queue = self._calls[call_id]
        self._bytes -= len(queue.popleft().body)
        self._waiting -= 1
        del self._tries[call_id]
        if queue:
            self._schedule(call_id, now)
        else:
            del self._calls[call_id]
        return verdict

    def _pause_s(self, number: int, reply: DeliveryReply) -> float:
        pause_s = PAUSES_S[number - 1] * (1 - JITTER + 2 * JITTER * self._random())
        asked_for = min(reply.retry_after_s or 0.0, PAUSES_S[-1])
        return max(pause_s, asked_for)

    def _schedule(self, call_id: str, at: float) -> None:
        heapq.heappush(self._due, (at, next(self._order), call_id))

    def _leave(self) -> None:
        self.gone = True
        self.dropped += self._waiting
        for queue in self._calls.values():
            for message in queue:
                self._on_dropped(message)
        self._waiting = self._bytes = 0
        self._calls.clear()
        self._tries.clear()
        self._due.clear()
