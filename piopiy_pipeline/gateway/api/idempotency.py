"""Calls that were ordered over HTTP: how many a key may order, and that none is dialled twice. No I/O.

Whoever does not hear an answer asks again, with the same ``Idempotency-Key``, and is given the answer of
the first time. Kept in memory, within bounds: a gateway that is started anew knows nothing of before.
Only calls that were dialled are remembered: what was refused may be tried again with the same key.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict, deque
from dataclasses import dataclass

from piopiy_pipeline.gateway.api.models import CallOrder
from piopiy_pipeline.gateway.records.models import CallRecord

__all__ = ["KEPT", "KEPT_S", "IdempotencyStore", "KeyReused"]

KEPT = 10_000
KEPT_S = 86_400.0
"""So many keys are remembered, for a day at most."""
_MINUTE_S = 60.0


class KeyReused(Exception):
    """The same key came with another body before."""


@dataclass(frozen=True, slots=True)
class _StoredAnswer:
    print: bytes
    record: CallRecord
    until: float


class IdempotencyStore:
    """See the module. `who` is whoever orders, `key` the ``Idempotency-Key``; `now` is in seconds."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._kept: OrderedDict[tuple[str, str], _StoredAnswer] = OrderedDict()
        self._dialled: dict[str, deque[float]] = {}

    def wait_s(self, who: str, now: float) -> float:
        """Count one more; how long to wait instead, where that is more in a minute than is allowed, else 0."""
        times = self._dialled.setdefault(who, deque())
        while times and times[0] <= now - _MINUTE_S:
            times.popleft()
        if len(times) >= self.per_minute:
            return times[0] + _MINUTE_S - now
        times.append(now)
        return 0.0

    def answer(self, who: str, key: str, order: CallOrder, now: float) -> CallRecord | None:
        """What was answered to this order before. Raises `KeyReused`."""
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        kept = self._kept.get((who, key))
        if kept is None:
            return None
        if kept.print != _print(order):
            raise KeyReused
        return kept.record

    def keep(self, who: str, key: str, order: CallOrder, record: CallRecord, now: float) -> None:
        """Remember what was answered."""
        self._kept[who, key] = _StoredAnswer(_print(order), record, now + KEPT_S)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _print(order: CallOrder) -> bytes:
    """The same for the same order, however it was written."""
    text = json.dumps(order.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()
