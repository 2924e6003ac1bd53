"""The routes of transfers: to hand a caller to somebody, and what became of that.

An outcome is an event of the call as well (`/api/events`, webhooks). Whoever cannot wait for events asks here: while it
rings the call itself knows, afterwards `TransferLog` for a quarter of an hour, and then the call's record.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request

from piopiy_pipeline.gateway.api.calls import LIVE, CallId, call_in
from piopiy_pipeline.gateway.api.dependencies import ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import TransferOrder, TransferState, TransferTicket
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.signaling.messages import Transfer, TransferResult

__all__ = ["KEPT_S", "MOST_KEPT", "TransferLog", "router"]

KEPT_S = 900.0
"""How long the outcome of a transfer is kept in memory, in seconds."""
MOST_KEPT = 2000
"""So many outcomes are kept at most."""

router = APIRouter(prefix="/api/calls", tags=["control"], dependencies=[Operator])

RequestId = Annotated[str, Path(max_length=64)]


class TransferLog:
    """What became of the last transfers, whoever asked for them. `on_event` must get every event of the bus.

    Args:
        clock: Returns the time in seconds; by default that of the machine, as `EventBus.wall`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], tuple[float, TransferState]] = OrderedDict()

    def on_event(self, event: BusEvent) -> None:
        """Note how a transfer has ended."""
        if not isinstance(event, ConversationReported) or event.event != "transfer":
            return
        state = _state(event.call_id, event.data)
        self._kept[event.call_id, state.request_id] = self._clock() + KEPT_S, state
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    def find(self, call_id: str, request_id: str) -> TransferState | None:
        """Return how a transfer has ended; None if it has not, or is not known (any more)."""
        while self._kept and next(iter(self._kept.values()))[0] <= self._clock():
            self._kept.popitem(last=False)
        kept = self._kept.get((call_id, request_id))
        return None if kept is None else kept[1]


def _state(call_id: str, data: dict[str, Any]) -> TransferState:
    return TransferState(
        request_id=data["request_id"],
        call_id=call_id,
        to=data["to"],
        warm=data["warm"],
        outcome=data["outcome"],
        detail=data["detail"],
    )


@router.post(
    "/{call_id}/transfer",
    status_code=202,
    summary="Hand the caller to somebody",
    responses=problems({404: "There is no such call.", 409: "The call is not in a state for that."}),
)
async def transfer(deps: Deps, call_id: CallId, order: TransferOrder) -> TransferTicket:
    """Begin a transfer. An event `transfer` with this `request_id` says how it ended, and so does
    `GET /api/calls/{call_id}/transfers/{request_id}`.
    """
    call = await call_in(LIVE, deps, call_id)
    if (why := call.control.no_transfer_because) is not None:
        under_way = call.control.transfer_request
        raise ApiError(409, why, request_id=None if under_way is None else under_way.request_id)
    message = Transfer(
        call_id=call_id,
        request_id=secrets.token_hex(8),
        to=order.to,
        warm=order.warm,
        summary=order.summary,
        ring_timeout_s=order.ring_timeout_s,
    )
    now = asyncio.get_running_loop().time()
    call.control.transfer(
        message, _holding(call, order), now, from_number=order.from_number, headers=order.headers
    )
    return TransferTicket(request_id=message.request_id)


def _holding(call: GatewayCall, order: TransferOrder) -> Callable[[TransferResult], None]:
    """Hold the caller, if the order says so, and return what ends that when nobody has taken the caller.

    Only an agent gets the result itself as a message: clients of the API get it as an event.
    """
    if not order.hold or call.media_path.held:
        return lambda _: None

    def reply(result: TransferResult) -> None:
        if result.outcome != "bridged":
            call.control.switch("hold", False)

    call.control.switch("hold", True)
    return reply


@router.get(
    "/{call_id}/transfers/{request_id}",
    summary="What became of a transfer",
    responses=problems(
        {404: "There is no such transfer, or it is forgotten.", 503: "The database does not answer just now."}
    ),
)
async def get_transfer(deps: Deps, request: Request, call_id: CallId, request_id: RequestId) -> TransferState:
    """How a transfer stands, whoever asked for it: `outcome` is null while it rings. It is known for a quarter of an
    hour after that, and with records as long as the call's record is kept.
    """
    log = request.app.state.transfers
    assert isinstance(log, TransferLog)
    found = log.find(call_id, request_id) or _under_way(deps, call_id, request_id)
    found = found or await _recorded(deps, call_id, request_id)
    if found is None:
        raise ApiError(404, f"call {call_id!r} has no transfer {request_id!r}")
    return found


def _under_way(deps: ApiDependencies, call_id: str, request_id: str) -> TransferState | None:
    call = deps.switchboard.call(call_id)
    wanted = None if call is None else call.control.transfer_request
    if call is None or wanted is None or wanted.request_id != request_id:
        return None
    bridged = call.phase is Phase.BRIDGED
    return TransferState(
        request_id=request_id,
        call_id=call_id,
        to=wanted.to,
        warm=wanted.warm,
        outcome="bridged" if bridged else None,
    )


async def _recorded(deps: ApiDependencies, call_id: str, request_id: str) -> TransferState | None:
    try:
        detail = await deps.archive.detail(call_id)
    except RecordsUnavailable as error:
        raise ApiError(503, str(error)) from None
    for event in detail.events if detail is not None else ():
        if event.event == "transfer" and event.data.get("request_id") == request_id:
            return _state(call_id, event.data)
    return None
