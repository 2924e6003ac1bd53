"""The routes of calls: those under way and those of the past, their conversations and recordings."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import FileResponse

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import HangupOrder
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import (
    BadCursor,
    CallDetail,
    CallPage,
    CallRecord,
    RecordsUnavailable,
)
from piopiy_pipeline.trace_ids import trace_id_of

__all__ = ["CallId", "call_in_progress", "call_under_way", "router"]

router = APIRouter(prefix="/api/calls", tags=["calls"], dependencies=[Operator])

"""The phases in which a bot and a caller talk."""

CallId = Annotated[str, Path(max_length=128)]
_AWAY = {503: "The database does not answer just now."}
_HANG_UP = HangupOrder()
_UNKNOWN = {404: "There is no such call."}


@router.get("", summary="Calls, the latest first", responses=problems(_AWAY))
async def list_calls(
    deps: Deps,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many.")] = 50,
    before: Annotated[str | None, Query(max_length=512, description="The `next` of the page before.")] = None,
    agent_id: Annotated[str | None, Query(max_length=128, description="Calls of this agent only.")] = None,
    kind: Annotated[CallKind | None, Query(description="Calls of this kind only.")] = None,
    phase: Annotated[Phase | None, Query(description="Calls in this phase only.")] = None,
) -> CallPage:
    """Calls under way and past calls of every kind."""
    try:
        return await deps.archive.page(limit=limit, before=before, agent_id=agent_id, kind=kind, phase=phase)
    except BadCursor as error:
        raise ApiError(422, str(error)) from None
    except RecordsUnavailable as error:
        raise ApiError(503, str(error), SOON) from None


@router.get("/{call_id}", summary="A call and its conversation", responses=problems(_AWAY | _UNKNOWN))
async def get_call(deps: Deps, call_id: CallId) -> CallDetail:
    """A call and the events of its conversation, in order."""
    try:
        detail = await deps.archive.detail(call_id)
    except RecordsUnavailable as error:
        raise ApiError(503, str(error), SOON) from None
    if detail is not None:
        return detail
    # A call that was placed a moment ago may not be in the database yet.
    record = deps.recent.find(call_id)
    if record is None:
        raise ApiError(404, f"there is no call {call_id!r}")
    return CallDetail(call=record, events=[], trace_id=trace_id_of(record.call_id))


@router.post(
    "/{call_id}/hangup",
    summary="Hang up",
    responses=problems({404: _UNKNOWN[404], 409: "The call is over already."}),
)
async def hang_up(
    deps: Deps, call_id: CallId, order: Annotated[HangupOrder, Body()] = _HANG_UP
) -> CallRecord:
    """End a call under way, with the reason `agent_hangup`. A body is not needed."""
    call = await call_under_way(deps, call_id)
    detail = order.detail or "hung up from the console"
    call.end(asyncio.get_running_loop().time(), EndReason.AGENT_HANGUP, detail)
    record = deps.recent.find(call_id)
    assert record is not None, "the recent calls get every change of a call"
    return record


async def call_under_way(deps: ApiDependencies, call_id: str) -> GatewayCall:
    """Return a call under way.

    Raises:
        ApiError: The call is over (409), or there is no such call (404).
    """
    call = deps.switchboard.call(call_id)
    if call is not None:
        return call
    if deps.recent.find(call_id) is None:
        try:
            known = await deps.archive.detail(call_id)
        except RecordsUnavailable:
            known = None
        if known is None:
            raise ApiError(404, f"there is no call {call_id!r}")
    raise ApiError(409, f"call {call_id!r} is over already")


async def call_in_progress(deps: ApiDependencies, call_id: str, *, or_bridged: bool = False) -> GatewayCall:
    """Return the call, if the caller is the bot's. That is so while another instance is looked for, too: what is
    ordered then holds for the next one.

    Args:
        deps: What the routes use.
        call_id: Which call.
        or_bridged: Take a caller who talks to a person, too.

    Raises:
        ApiError: The call is in another phase (409), or as `call_under_way`.
    """
    call = await call_under_way(deps, call_id)
    if not call.state.in_progress and not (or_bridged and call.phase is Phase.BRIDGED):
        raise ApiError(409, f"call {call_id!r} is not in progress: it is {call.phase.value}")
    return call


@router.get(
    "/{call_id}/recording",
    summary="The recording of a call",
    response_class=FileResponse,
    responses=problems(_AWAY | {404: "There is no such call, or it was not recorded."})
    | {
        200: {"content": {"audio/wav": {}}, "description": "The caller is left, the bot right."},
        206: {"content": {"audio/wav": {}}, "description": "The part that the header `Range` asked for."},
    },
)
async def get_recording(deps: Deps, call_id: CallId) -> FileResponse:
    """A stereo WAV file. A player may ask for a part of it with the header `Range`."""
    try:
        path = await deps.archive.recording_path(call_id)
    except RecordsUnavailable as error:
        raise ApiError(503, str(error), SOON) from None
    if path is None:
        raise ApiError(404, f"there is no recording of call {call_id!r}")
    return FileResponse(
        path, media_type="audio/wav", content_disposition_type="inline", filename=f"{call_id}.wav"
    )
