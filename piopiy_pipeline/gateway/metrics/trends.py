"""`Trends`: what a gateway remembers of a day, in buckets of ten minutes: calls, their ends, and how fast bots answer.

It is counted in memory and not read from the records, because every gateway has it, also one that keeps none. The sums
of several gateways are the sums of their buckets. What was counted is gone when the gateway ends. No I/O.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.metrics.conversation_counts import amount
from piopiy_pipeline.metrics.sink import OTHER

__all__ = ["BOUNDS_S", "BUCKET_S", "KEPT_BUCKETS", "TrendBucket", "Trends", "merged", "quantile"]

BUCKET_S = 600
KEPT_BUCKETS = 144
"""A day."""
BOUNDS_S = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
"""The upper bounds, in seconds, between which answers are counted; what is longer counts beyond the last."""


@dataclass(slots=True)
class TrendBucket:
    """Ten minutes.

    Attributes:
        at: When they begin, in Unix time in seconds: a multiple of `BUCKET_S`.
        placed: Calls that came or were placed.
        most: The most calls at a time.
        ended: Calls that ended, by the reason.
        errors: Errors in conversations.
        answers: Answers of bots by voice-to-voice, one number between each two of `BOUNDS_S`.
    """

    at: int
    placed: int = 0
    most: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    errors: int = 0
    answers: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))

    def add(self, other: TrendBucket) -> None:
        """Add the numbers of another gateway."""
        self.placed += other.placed
        self.most += other.most
        self.ended.update(other.ended)
        self.errors += other.errors
        self.answers = [one + two for one, two in zip(self.answers, other.answers, strict=True)]


class Trends:
    """Subscribes to the event bus of a gateway.

    Args:
        calls: Returns how many calls there are.
    """

    def __init__(self, calls: Callable[[], int]) -> None:
        self._calls = calls
        self._buckets: deque[TrendBucket] = deque(maxlen=KEPT_BUCKETS)
        self._known: set[str] = set()

    def on_event(self, event: BusEvent) -> None:
        """Count an event of the bus. It must get all of them, in order."""
        bucket = self._bucket(event.when)
        if isinstance(event, CallChanged):
            call_id = event.call.call_id
            if call_id not in self._known:
                self._known.add(call_id)
                bucket.placed += 1
            bucket.most = max(bucket.most, self._calls())
            if event.call.phase is Phase.ENDED:
                self._known.discard(call_id)
                reason = event.call.reason
                bucket.ended[OTHER if reason is None else reason.value] += 1
        elif event.event == "latency":
            bucket.answers[bisect_left(BOUNDS_S, amount(event.data, "total_s"))] += 1
        elif event.event == "error":
            bucket.errors += 1

    def buckets(self, since: float) -> list[TrendBucket]:
        """Return what was counted from a time on, in Unix time in seconds, the oldest first."""
        return [one for one in self._buckets if one.at + BUCKET_S > since]

    def _bucket(self, when: float) -> TrendBucket:
        at = int(when // BUCKET_S) * BUCKET_S
        if not self._buckets or at > self._buckets[-1].at:
            self._buckets.append(TrendBucket(at))
        return self._buckets[-1]  # a clock that was set back counts on in the latest


def merged(several: Iterable[Iterable[TrendBucket]]) -> list[TrendBucket]:
    """Return the sums of the buckets of several gateways, the oldest first."""
    sums: dict[int, TrendBucket] = {}
    for buckets in several:
        for one in buckets:
            sums.setdefault(one.at, TrendBucket(one.at)).add(one)
    return [sums[at] for at in sorted(sums)][-KEPT_BUCKETS:]


def quantile(answers: list[int], share: float) -> float | None:
    """Return the voice-to-voice below which a share of the answers is, in seconds: between two bounds by proportion.

    Args:
        answers: The numbers of answers between the bounds.
        share: The share, from 0 to 1.
    """
    wanted = share * sum(answers)
    if not wanted:
        return None
    before = 0
    for number, low, high in zip(answers, (0.0, *BOUNDS_S), (*BOUNDS_S, BOUNDS_S[-1]), strict=True):
        if number and before + number >= wanted:
            return round(low + (high - low) * (wanted - before) / number, 3)
        before += number
    return BOUNDS_S[-1]
