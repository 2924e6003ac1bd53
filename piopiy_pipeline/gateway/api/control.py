"""The routes of control: calls that go out, and what can be done with a call in progress.

The same as agents can ask for over signaling, with the same answers (`gateway.control`).
"""

from __future__ import annotations

import asyncio
import json
import math
import secrets
import uuid
from typing import Annotated, cast

from fastapi import APIRouter, Body, Header, Request, Response

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.api.calls import CallId, call_under_way
from piopiy_pipeline.gateway.api.dependencies import ApiDependencies, ApiError, Operator, Parts, problems
from piopiy_pipeline.gateway.api.idempotency import IdempotencyStore, KeyReused
from piopiy_pipeline.gateway.api.models import (
    AppMessage,
    CallOrder,
    KeysOrder,
    Switch,
    TransferOrder,
    TransferTicket,
)
from piopiy_pipeline.gateway.core.call_control import Switchable
from piopiy_pipeline.gateway.core.call_terms import CallOptions
from piopiy_pipeline.gateway.core.dialling import DialObstacle, DialRefused, DialRequest
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.signaling.messages import Transfer, TransferResult

__all__ = ["MESSAGE_LIMIT", "router"]

MESSAGE_LIMIT = 16 << 10
"""How many bytes a message to an application or a bot may have as JSON."""

router = APIRouter(prefix="/api/calls", tags=["control"], dependencies=[Operator])

_OBSTACLES: dict[DialObstacle, int] = {"destination": 422, "way": 409, "room": 503}
_NOT_NOW = {404: "There is no such call.", 409: "The call is not in a state for that."}
_LIVE = (Phase.LIVE,)
_TALKING = (Phase.LIVE, Phase.BRIDGED)
_ON = Switch()


@router.post(
    "",
    status_code=201,
    summary="Call somebody",
    responses=problems(
        {
            404: "There is no such agent.",
            409: "This gateway has no way out.",
            429: "This key has dialled too much in the last minute: `Retry-After` says when.",
            503: "No instance of the agent is free, or there is no room for another call.",
        }
    ),
)
async def place_call(
    parts: Parts,
    request: Request,
    response: Response,
    order: CallOrder,
    idempotency_key: Annotated[
        str | None,
        Header(min_length=1, max_length=255, description="The same key and body dial once in 24 hours."),
    ] = None,
) -> CallRecord:
    """Dial, and connect an agent with whoever picks up. The answer comes while it is being dialled."""
    orders = cast(IdempotencyStore, request.app.state.orders)
    who = parts.access.who(request.headers.get)
    now = asyncio.get_running_loop().time()
    if idempotency_key is not None:
        try:
            known = orders.answer(who, idempotency_key, order, now)
        except KeyReused:
            raise ApiError(422, "Idempotency-Key: it came with another body before: take a new one") from None
        if known is not None:
            response.headers["Idempotent-Replayed"] = "true"
            return known
    if order.agent_id not in parts.config.agents:
        raise ApiError(404, f"this gateway has no agent {order.agent_id!r}")
    if wait_s := orders.wait_s(who, now):
        raise ApiError(
            429,
            f"dials_per_minute: {orders.per_minute} calls were dialled in the last minute",
            {"Retry-After": str(math.ceil(wait_s))},
        )
    record = _dial(parts, order, now)
    if idempotency_key is not None:
        orders.keep(who, idempotency_key, order, record, now)
    return record


def _dial(parts: ApiDependencies, order: CallOrder, now: float) -> CallRecord:
    info = CallInfo(
        agent_id=order.agent_id,
        call_id=str(uuid.uuid4()),
        from_number=order.from_number,
        to_number=order.to,
        metadata=order.metadata,
        kind="phone",
    )
    try:
        call = parts.switchboard.dial(
            info,
            DialRequest(order.to, order.from_number),
            ring_timeout_s=order.ring_timeout_s,
            now=now,
            options=CallOptions(max_duration_s=order.max_duration_s, record=order.record),
        )
    except DialRefused as error:
        raise ApiError(_OBSTACLES[error.obstacle], str(error)) from None
    record = parts.recent.find(call.call_id)
    assert record is not None, "the recent calls were told of it"
    return record


@router.post(
    "/{call_id}/transfer",
    status_code=202,
    summary="Hand the caller to somebody",
    responses=problems(_NOT_NOW),
)
async def transfer(parts: Parts, call_id: CallId, order: TransferOrder) -> TransferTicket:
    """Begin a transfer. What becomes of it is told as an event `transfer` with this `request_id`."""
    call = await _call_in(_LIVE, parts, call_id)
    if (why := call.control.no_transfer_because) is not None:
        raise ApiError(409, why)
    wish = Transfer(
        call_id=call_id,
        request_id=secrets.token_hex(8),
        to=order.to,
        warm=order.warm,
        summary=order.summary,
        ring_timeout_s=order.ring_timeout_s,
    )
    call.control.transfer(wish, _nobody_else, asyncio.get_running_loop().time())
    return TransferTicket(request_id=wish.request_id)


def _nobody_else(_: TransferResult) -> None:
    """An agent that asks for a transfer is told what became of it; here, the events tell."""


@router.post(
    "/{call_id}/dtmf", status_code=204, summary="Press keys for the caller", responses=problems(_NOT_NOW)
)
async def press_keys(parts: Parts, call_id: CallId, keys: KeysOrder) -> None:
    """Send keys to the caller's line, as the bot can."""
    call = await _call_in(_TALKING, parts, call_id)
    call.leg.dtmf(keys.digits)


@router.post("/{call_id}/hold", status_code=204, summary="Hold the caller", responses=problems(_NOT_NOW))
async def hold(parts: Parts, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """Neither side hears the other; the caller hears that the line is alive."""
    call = await _call_in(_LIVE, parts, call_id)
    if call.control.transferring:
        raise ApiError(409, "a transfer is under way, which holds the caller by itself where that is needed")
    _switch(call, "hold", switch)


@router.post("/{call_id}/mute", status_code=204, summary="Mute the caller", responses=problems(_NOT_NOW))
async def mute(parts: Parts, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """The bot does not hear the caller; the caller hears the bot."""
    _switch(await _call_in(_LIVE, parts, call_id), "mute", switch)


@router.post(
    "/{call_id}/record",
    status_code=204,
    summary="Record the call",
    responses=problems(_NOT_NOW | {503: "The recording could not be begun."}),
)
async def record(parts: Parts, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """From now on, or no longer."""
    call = await _call_in(_LIVE, parts, call_id)
    _switch(call, "record", switch)
    if switch.on and call.sound.tap is None:
        raise ApiError(503, "the recording could not be begun: the gateway's log says why")


@router.post(
    "/{call_id}/message",
    status_code=204,
    summary="Send a message to the caller's application, or to the bot",
    responses=problems(_NOT_NOW | {413: "The message is too large."}),
)
async def send_message(parts: Parts, call_id: CallId, message: AppMessage) -> None:
    """The bot gets it as if the caller's application had sent it, and the application as if the bot had."""
    if len(json.dumps(message.data).encode()) > MESSAGE_LIMIT:
        raise ApiError(413, f"data: at most {MESSAGE_LIMIT} bytes as JSON: send a key to more of it")
    call = await _call_in(_LIVE, parts, call_id)
    if message.to == "bot":
        call.caller_data(message.data)
    elif call.info.kind == "phone":
        raise ApiError(409, "the caller has a telephone, and no application that would take messages")
    else:
        call.leg.data(message.data)


async def _call_in(phases: tuple[Phase, ...], parts: ApiDependencies, call_id: str) -> GatewayCall:
    """The call, if it is in one of these phases. Raises `ApiError`."""
    call = await call_under_way(parts, call_id)
    if call.phase not in phases:
        raise ApiError(409, f"call {call_id!r} is not in progress: it is {call.phase.value}")
    return call


def _switch(call: GatewayCall, what: Switchable, switch: Switch) -> None:
    done = call.control.switch(what, switch.on)
    assert done, "the call is in progress"
