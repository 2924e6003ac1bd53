"""`placed_once`: an order of an operator is placed once for each ``Idempotency-Key``, within the limit a minute.

Calls and chats are ordered alike. Tested in ``tests/gateway/api/test_control.py`` and ``test_chats.py``.
"""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, cast

from fastapi import Header, Request, Response

from piopiy_pipeline.gateway.api.dependencies import ApiDependencies, ApiError
from piopiy_pipeline.gateway.api.idempotency import (
    IdempotencyStore,
    KeyBusy,
    KeyReused,
    KeyUnknown,
)
from piopiy_pipeline.gateway.api.models import CallOrder, ChatOrder
from piopiy_pipeline.gateway.api.place_wait import wait_for_place
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.text import counted

__all__ = ["KEY_HEADER", "UNAVAILABLE", "OrderKey", "placed_once"]

UNAVAILABLE = (
    "No instance of the agent became free within two seconds, there is no room for another call, or the database does "
    "not say whether the key was used: with `Retry-After`."
)
"""What 503 says of an order, for the schema of the API."""
KEY_HEADER = "Idempotency-Key"
"""The header, and how a refusal for it begins."""
OrderKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, description="The same key and body dial once in 24 hours."),
]


async def _nothing() -> None: ...


async def placed_once(
    deps: ApiDependencies,
    request: Request,
    response: Response,
    order: CallOrder | ChatOrder,
    key: str | None,
    place: Callable[[str], CallRecord],
    prepare: Callable[[], Awaitable[None]] = _nothing,
) -> CallRecord:
    """Place an order when an instance of its agent is free, or repeat the answer that its key got before.

    Args:
        deps: The objects of the gateway.
        request: The operator's request.
        response: Its answer: it says whether it is repeated.
        order: What is ordered.
        key: The idempotency key.
        place: Places it under this call id. It raises `ApiError` if that cannot be.
        prepare: Run first, but not for an order whose answer is repeated. It raises `ApiError` if the order cannot be
            carried out as things are now.

    Raises:
        ApiError: There is no such agent, it is refused, the key is another order's, or the database does not say
            whether the key was used.
    """
    idempotency = cast(IdempotencyStore, request.app.state.idempotency)
    operator = deps.access.who(request.headers.get)
    now = asyncio.get_running_loop().time()
    if key is None:
        await prepare()
        with _counted(deps, idempotency, operator, order):
            await _wait_for_place(deps, order)
            return place(str(uuid.uuid4()))
    try:
        with idempotency.claim(operator, key):
            known = idempotency.answer(operator, key, order, now)
            known = known or await idempotency.saved_answer(operator, key, order)
            if known is not None:
                response.headers["Idempotent-Replayed"] = "true"
                return known
            await prepare()
            with _counted(deps, idempotency, operator, order):
                await _wait_for_place(deps, order)
                call_id = str(uuid.uuid4())
                async with idempotency.saved(operator, key, order, call_id):
                    record = place(call_id)
            idempotency.keep(operator, key, order, record, now)
            return record
    except KeyReused:
        raise ApiError(422, f"{KEY_HEADER}: it came with another body before: take a new one") from None
    except KeyBusy as error:
        raise ApiError(409, f"{KEY_HEADER}: {error}") from None
    except KeyUnknown:
        raise ApiError(
            503,
            f"{KEY_HEADER}: the database does not answer, so nobody was dialled: ask again with the same key",
            {"Retry-After": "1"},
        ) from None


async def _wait_for_place(deps: ApiDependencies, order: CallOrder | ChatOrder) -> None:
    if order.agent_id is not None:
        await wait_for_place(deps.switchboard, order.agent_id)


@contextmanager
def _counted(
    deps: ApiDependencies, idempotency: IdempotencyStore, operator: str, order: CallOrder | ChatOrder
) -> Iterator[None]:
    """Count an order that is placed within this block; after an exception nothing was, and it does not count.

    Raises:
        ApiError: There is no such agent, or this operator has placed too much.
    """
    if order.agent_id is not None and order.agent_id not in deps.config.agents:
        raise ApiError(404, f"this gateway has no agent {order.agent_id!r}")
    now = asyncio.get_running_loop().time()
    if wait_s := idempotency.wait_s(operator, now):
        raise ApiError(
            429,
            f"dials_per_minute: {counted(idempotency.per_minute, 'call was', 'calls were')} dialled in the last minute",
            {"Retry-After": str(math.ceil(wait_s))},
        )
    try:
        yield
    except BaseException:
        idempotency.take_back(operator, now)
        raise
