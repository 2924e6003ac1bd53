"""The routes of call control: outbound calls, and what an operator can do with a call in progress.

Agents can ask for the same over signaling, and get the same answers (`gateway.core.call_control`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway.api.calls import CallId, call_in_progress
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import (
    AppMessage,
    CallOrder,
    KeysOrder,
    Switch,
)
from piopiy_pipeline.gateway.api.placed_once import UNAVAILABLE, OrderKey, placed_once
from piopiy_pipeline.gateway.api.prompts import load_prompts, start_prompts
from piopiy_pipeline.gateway.core.dialling import DialObstacle, DialRefused, DialRequest
from piopiy_pipeline.gateway.core.gateway_call import CallOptions, GatewayCall
from piopiy_pipeline.gateway.core.prompts import Prompt
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.signaling.messages import Switchable

__all__ = ["MESSAGE_LIMIT", "router"]

MESSAGE_LIMIT = 16 << 10
"""How many bytes a message to an application or to a bot may have as JSON."""

router = APIRouter(prefix="/api/calls", tags=["control"], dependencies=[Operator])

_OBSTACLES: dict[DialObstacle, int] = {
    "destination": 422,
    "not_allowed": 422,
    "way": 409,
    "away": 409,
}
_NOT_NOW = {404: "There is no such call.", 409: "The call is not in a state for that."}
_ON = Switch()


@router.post(
    "",
    status_code=201,
    summary="Call somebody",
    responses=problems(
        {
            404: "There is no such agent.",
            409: "This gateway has no way out, their phone is not registered, or an order with this key is under way.",
            429: "This key has dialled too much in the last minute: `Retry-After` says when.",
            503: UNAVAILABLE,
        }
    ),
)
async def place_call(
    deps: Deps, request: Request, response: Response, order: CallOrder, idempotency_key: OrderKey = None
) -> CallRecord:
    """Dial a number, and connect an agent with the person who picks up. The answer comes while it rings."""
    wanted = order.prompts
    prompts: list[Prompt] = []

    async def prepare() -> None:
        if wanted is not None:
            prompts.extend(await load_prompts(deps, request, wanted))

    def on_answer(call_id: str) -> None:
        call = deps.switchboard.call(call_id)
        if call is not None and wanted is not None:
            start_prompts(deps, request, call, wanted, prompts)

    return await placed_once(
        deps,
        request,
        response,
        order,
        idempotency_key,
        lambda call_id: _dial(deps, order, call_id, on_answer),
        prepare,
    )


def _dial(
    deps: ApiDependencies, order: CallOrder, call_id: str, on_answer: Callable[[str], None]
) -> CallRecord:
    info = CallInfo(
        agent_id=order.agent_id or "",
        call_id=call_id,
        from_number=order.from_number,
        to_number=order.to,
        metadata=order.metadata,
        kind="phone",
    )
    try:
        call = deps.switchboard.dial(
            info,
            DialRequest(order.to, order.from_number),
            ring_timeout_s=order.ring_timeout_s,
            now=asyncio.get_running_loop().time(),
            options=CallOptions(
                max_duration_s=order.max_duration_s,
                record=order.record,
                clean_sound=order.clean_sound,
                with_agent=order.agent_id is not None,
                on_answer=lambda: on_answer(call_id),
            ),
        )
    except DialRefused as error:
        if error.obstacle == "room":
            raise ApiError(503, str(error), SOON) from None
        raise ApiError(_OBSTACLES[error.obstacle], str(error)) from None
    record = deps.recent.find(call.call_id)
    assert record is not None, "the recent calls get every change of a call"
    return record


@router.post(
    "/{call_id}/dtmf", status_code=204, summary="Press keys for the caller", responses=problems(_NOT_NOW)
)
async def press_keys(deps: Deps, call_id: CallId, keys: KeysOrder) -> None:
    """Send keys (DTMF) to the caller's line, as the bot can."""
    call = await call_in_progress(deps, call_id, or_bridged=True)
    call.leg.dtmf(keys.digits)


@router.post("/{call_id}/hold", status_code=204, summary="Hold the caller", responses=problems(_NOT_NOW))
async def hold(deps: Deps, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """Hold the call, or end that. Neither side hears the other; the caller hears a sign that the line is alive. While
    a cold transfer rings, it says what becomes of the caller if that comes to nothing.
    """
    _switch(await call_in_progress(deps, call_id), "hold", switch)


@router.post("/{call_id}/mute", status_code=204, summary="Mute the caller", responses=problems(_NOT_NOW))
async def mute(deps: Deps, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """Mute the caller, or end that. The bot does not hear the caller; the caller hears the bot."""
    _switch(await call_in_progress(deps, call_id), "mute", switch)


@router.post(
    "/{call_id}/record",
    status_code=204,
    summary="Record the call",
    responses=problems(_NOT_NOW | {503: "The recording could not be begun."}),
)
async def record(deps: Deps, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """Begin to record the call, or end the recording."""
    call = await call_in_progress(deps, call_id)
    _switch(call, "record", switch)
    if switch.on and call.media_path.tap is None:
        raise ApiError(503, "the recording could not be begun: the gateway's log says why")


@router.post(
    "/{call_id}/clean_sound",
    status_code=204,
    summary="Clean the caller's sound",
    responses=problems(_NOT_NOW),
)
async def clean_sound(deps: Deps, call_id: CallId, switch: Annotated[Switch, Body()] = _ON) -> None:
    """Take noise and the bot's echo out of what the caller says, or end that. The log says why that cannot be done."""
    _switch(await call_in_progress(deps, call_id), "clean_sound", switch)


@router.post(
    "/{call_id}/message",
    status_code=204,
    summary="Send a message to the caller's application, or to the bot",
    responses=problems(_NOT_NOW | {413: "The message is too large."}),
)
async def send_message(deps: Deps, call_id: CallId, message: AppMessage) -> None:
    """The bot gets the message as if the caller's application had sent it; the application as if the bot had."""
    if len(json.dumps(message.data).encode()) > MESSAGE_LIMIT:
        raise ApiError(413, f"data: at most {MESSAGE_LIMIT} bytes as JSON: send a key to more of it")
    call = await call_in_progress(deps, call_id)
    if message.to == "bot":
        if not call.options.with_agent:
            raise ApiError(409, "this call has no agent that would take messages")
        call.caller_data(message.data)
    elif call.info.kind == "phone":
        raise ApiError(409, "the caller has a telephone, and no application that would take messages")
    else:
        call.leg.data(message.data)


def _switch(call: GatewayCall, what: Switchable, switch: Switch) -> None:
    if call.info.kind == "text":
        raise ApiError(409, f"a text chat has no sound: {what} is for calls that have")
    done = call.control.switch(what, switch.on)
    assert done, "the call is in progress"
