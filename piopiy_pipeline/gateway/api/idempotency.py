"""Idempotency of outbound calls over HTTP, and the limit of calls a minute for each API key. No I/O.

A client that gets no answer sends its order again with the same ``Idempotency-Key``, and gets the answer of the
first time. Answers are kept in memory, within limits: a gateway that is started again has none. Only calls
that were dialled are kept: an order that was refused may be sent again with the same key.
Tested in ``tests/gateway/api/test_control.py``.
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
"""How many answers are kept."""
KEPT_S = 86_400.0
"""How long an answer is kept."""
_MINUTE_S = 60.0


class KeyReused(Exception):
    """The same idempotency key came with another body before."""


@dataclass(frozen=True, slots=True)
class _StoredAnswer:
    fingerprint: bytes
    record: CallRecord
    until: float


class IdempotencyStore:
    """Keeps the answers to requests by API key and idempotency key, and limits the calls a minute.

    In all methods `operator` names the API key (`Access.who`), `key` is the ``Idempotency-Key``, and `now` is
    in seconds on one clock.

    Args:
        per_minute: How many calls each API key may dial in any minute.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._kept: OrderedDict[tuple[str, str], _StoredAnswer] = OrderedDict()
        self._dialled: dict[str, deque[float]] = {}

    def wait_s(self, operator: str, now: float) -> float:
        """Count one more call, if the limit allows it.

        Returns:
            0.0 if the call was counted, or else how many seconds to wait.
        """
        times = self._dialled.setdefault(operator, deque())
        while times and times[0] <= now - _MINUTE_S:
            times.popleft()
        if len(times) >= self.per_minute:
            return times[0] + _MINUTE_S - now
        times.append(now)
        return 0.0

    def answer(self, operator: str, key: str, order: CallOrder, now: float) -> CallRecord | None:
        """Return the answer that this order got before, or None.

        Raises:
            KeyReused: The key came with another order.
        """
        while self._kept and next(iter(self._kept.values())).until <= now:
            self._kept.popitem(last=False)
        kept = self._kept.get((operator, key))
        if kept is None:
            return None
        if kept.fingerprint != _fingerprint(order):
            raise KeyReused
        return kept.record

    def keep(self, operator: str, key: str, order: CallOrder, record: CallRecord, now: float) -> None:
        """Keep the answer to a request.

        Args:
            operator: The name of the API key.
            key: The idempotency key.
            order: The request.
            record: The answer.
            now: The time in seconds.
        """
        self._kept[operator, key] = _StoredAnswer(_fingerprint(order), record, now + KEPT_S)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)


def _fingerprint(order: CallOrder) -> bytes:
    """Return a hash that is the same for the same order, in whatever order its JSON has the keys."""
    text = json.dumps(order.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()
