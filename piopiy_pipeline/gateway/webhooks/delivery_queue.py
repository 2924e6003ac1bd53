"""What one receiver is still to be told, and when to try. No I/O.

Messages of a call are delivered in their order: the next is tried when the one before was delivered, or
given up. Calls do not wait for each other. What fails is tried again after pauses that grow, over hours.
All of it is bounded: where there is no room, what waits stays, and what comes is lost and counted.
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
"""Pauses differ by so much of themselves to both sides, so that not all calls are tried again at once."""

Verdict = Literal["delivered", "again", "given_up", "gone"]


@dataclass(frozen=True, slots=True)
class DeliveryReply:
    """What came of an attempt: a status of HTTP, or None and why there was none."""

    status: int | None
    retry_after_s: float | None = None
    detail: str = ""

    @property
    def taken(self) -> bool:
        """Whether the message was delivered."""
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return self.detail if self.status is None else f"it answered {self.status}"


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """To be made now: the `number`-th for this message, counted from 1."""

    notice: WebhookMessage
    number: int


class DeliveryQueue:
    """See the module. Every `now` is in seconds, of one clock; `random` gives numbers from 0 to 1.

    `lost` counts what there was no room for, `given_up` what failed too often, `dropped` what the
    receiver, who is `gone`, did not want any more.
    """

    def __init__(
        self,
        *,
        random: Callable[[], float],
        max_notices: int = 10_000,
        max_bytes: int = 32 << 20,
        at_once: int = 8,
    ) -> None:
        self.lost = self.given_up = self.dropped = 0
        self.gone = False
        """Whether the receiver said that it wants no more (410)."""
        self._random = random
        self._max_notices, self._max_bytes, self._at_once = max_notices, max_bytes, at_once
        self._calls: dict[str, deque[WebhookMessage]] = {}
        self._tries: dict[str, int] = {}  # of each call's first message
        self._due: list[tuple[float, int, str]] = []
        self._order = count()
        self._under_way: set[str] = set()
        self._waiting = self._bytes = 0

    def __len__(self) -> int:
        """How many messages are not delivered yet, those under way too."""
        return self._waiting

    def add(self, notice: WebhookMessage, now: float) -> bool:
        """One more to be told; False if it is lost."""
        if self.gone:
            self.dropped += 1
            return False
        if self._waiting >= self._max_notices or self._bytes + len(notice.body) > self._max_bytes:
            self.lost += 1
            return False
        self._waiting += 1
        self._bytes += len(notice.body)
        queue = self._calls.get(notice.call_id)
        if queue is None:
            self._calls[notice.call_id] = deque([notice])
            self._schedule(notice.call_id, now)
        else:
            queue.append(notice)
        return True

    @property
    def busy(self) -> bool:
        """Whether attempts are under way."""
        return bool(self._under_way)

    @property
    def wake_at(self) -> float | None:
        """When `next` is to be asked; None: not before something is added or replied."""
        if len(self._under_way) >= self._at_once or not self._due:
            return None
        return self._due[0][0]

    def next(self, now: float) -> DeliveryAttempt | None:
        """What to send now. `reply` is to be told what came of it."""
        wake_at = self.wake_at
        if wake_at is None or wake_at > now:
            return None
        call_id = heapq.heappop(self._due)[2]
        self._under_way.add(call_id)
        self._tries[call_id] = self._tries.get(call_id, 0) + 1
        return DeliveryAttempt(self._calls[call_id][0], self._tries[call_id])

    def reply(self, attempt: DeliveryAttempt, reply: DeliveryReply, now: float) -> Verdict:
        """What came of an attempt, and what that means."""
        call_id = attempt.notice.call_id
        self._under_way.discard(call_id)
        if self.gone:  # another attempt's reply said so
            return "gone"
        if reply.status == 410:
            self._leave()
            return "gone"
        verdict: Verdict = "delivered"
        if not reply.taken:
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
        self._waiting = self._bytes = 0
        self._calls.clear()
        self._tries.clear()
        self._due.clear()
