"""Idempotency of calls and chats that are begun over HTTP, and the limit of them a minute for each API key.

A client that gets no answer sends its order again with the same ``Idempotency-Key``, and gets the answer of the
first time. Answers are kept in memory, within limits, and as saved items in the database of the records: the key
is there before anybody is dialled, so that a gateway that was killed and started again does not dial twice. While
the database does not say whether a key was used, or does not take it, an order with a key is refused. Only calls that
were dialled are kept: an order that was refused may be sent again with the same key.
Tested in ``tests/gateway/api/test_control.py`` and ``tests/gateway/api/test_idempotency.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from loguru import logger

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.api.models import CallOrder, ChatOrder
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.models import CallRecord, RecordsUnavailable

__all__ = ["KEPT", "KEPT_S", "IdempotencyStore", "KeyBusy", "KeyReused", "KeyUnknown"]

KEPT = 10_000
"""How many answers are kept."""
KEPT_S = 86_400.0
"""How long an answer is kept."""
SAVE_S = 2.0
"""How long an order waits for the database, once to learn whether its key was used and once to have it saved. After
that it is refused: its client can ask again, and a person who was dialled twice cannot be dialled once.
"""
_MINUTE_S = 60.0


class KeyReused(Exception):
    """The same idempotency key came with another body before."""


class KeyBusy(Exception):
    """Whether the first order with this idempotency key was dialled is not known, or not yet. The text says why."""


class KeyUnknown(Exception):
    """The database does not say whether an idempotency key was used, or does not take it."""


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
        records: Where keys are saved. None: nowhere.
    """

    def __init__(self, per_minute: int, records: Records | None = None) -> None:
        self.per_minute = per_minute
        self._records = records
        self._under_way: set[tuple[str, str]] = set()
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

    def take_back(self, operator: str, at: float) -> None:
        """Count a call no more that `wait_s` has counted at that time: nobody was dialled."""
        with suppress(ValueError):
            self._dialled[operator].remove(at)

    def answer(self, operator: str, key: str, order: CallOrder | ChatOrder, now: float) -> CallRecord | None:
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

    def keep(
        self, operator: str, key: str, order: CallOrder | ChatOrder, record: CallRecord, now: float
    ) -> None:
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

    async def saved_answer(self, operator: str, key: str, order: CallOrder | ChatOrder) -> CallRecord | None:
        """Return the answer that this order got from a gateway that was killed since, or from another one on the
        same database. None: it got none.

        Raises:
            KeyReused: The key came with another order.
            KeyBusy: The gateway was killed while it dialled, or another one is dialling.
            KeyUnknown: The database does not answer within `SAVE_S`.
        """
        if self._records is None:
            return None
        async with _in_time("whether an idempotency key was used is not known"):
            item = await self._records.item("order", _name(operator, key))
            if item is None or item.data is None:
                return None
            if item.data["fingerprint"] != _fingerprint(order).hex():
                raise KeyReused
            call_id = item.data["call_id"]
            detail = await self._records.detail(call_id)
        if detail is not None:
            return detail.call
        raise KeyBusy(
            f"this order is being dialled as call {call_id}, or was when its gateway was lost: ask again, and if the"
            " answer stays the same, take a new key"
        )

    @contextmanager
    def claim(self, operator: str, key: str) -> Iterator[None]:
        """Let one order with this key be answered at a time. Raises `KeyBusy` for a second one."""
        if (operator, key) in self._under_way:
            raise KeyBusy("an order with this key is being dialled just now: ask again")
        self._under_way.add((operator, key))
        try:
            yield
        finally:
            self._under_way.discard((operator, key))

    @asynccontextmanager
    async def saved(
        self, operator: str, key: str, order: CallOrder | ChatOrder, call_id: str
    ) -> AsyncIterator[None]:
        """Save the key, and then let the order be dialled, as the call `call_id`. After an exception it may be dialled
        again.

        Raises:
            KeyBusy: Another gateway on the same database has saved the key since `saved_answer` was asked.
            KeyUnknown: The key is not in the database within `SAVE_S`. Nothing may be dialled.
        """
        if self._records is None:
            yield
            return
        name = _name(operator, key)
        self._records.save("order", name, {"fingerprint": _fingerprint(order).hex(), "call_id": call_id})
        try:
            await _require_saved(self._records, name, call_id)
            yield
        except BaseException:
            self._records.forget("order", name)
            raise


async def _require_saved(records: Records, name: str, call_id: str) -> None:
    """Wait until a key is in the database, as the one of this call. Raises as `IdempotencyStore.saved` does."""
    async with _in_time("an idempotency key is not saved"):
        item = await records.item("order", name)
        if item is None or item.data is None:
            raise RecordsUnavailable("the records had no room for it, or the database refused it")
        if item.data["call_id"] != call_id:
            raise KeyBusy("an order with this key is being dialled by another gateway: ask again")


@asynccontextmanager
async def _in_time(what: str) -> AsyncIterator[None]:
    """Raise `KeyUnknown`, and log `what` is wrong, if the database does not answer within `SAVE_S`."""
    try:
        async with asyncio.timeout(SAVE_S):
            yield
    except (TimeoutError, RecordsUnavailable) as error:
        why = own_text(error, f"no answer in {SAVE_S:g} s")
        logger.error("{}: {}. The order is refused, and nobody is dialled for it", what, why)
        raise KeyUnknown from error


def _name(operator: str, key: str) -> str:
    """Return the name of a key among saved items: of one length, whatever the client sent."""
    return hashlib.sha256(f"{operator}\0{key}".encode()).hexdigest()


def _fingerprint(order: CallOrder | ChatOrder) -> bytes:
    """Return a hash that is the same for the same order, in whatever order its JSON has the keys."""
    text = json.dumps(order.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).digest()
