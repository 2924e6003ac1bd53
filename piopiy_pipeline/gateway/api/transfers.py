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

from piopiy_pipeline.call import TransferOutcomeName
from piopiy_pipeline.gateway.api.calls import CallId, call_in_progress
from piopiy_pipeline.gateway.api.dependencies import SOON, ApiDependencies, ApiError, Deps, Operator, problems
from piopiy_pipeline.gateway.api.models import TransferOrder, TransferState, TransferTicket
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.signaling.messages import Transfer, TransferResult

__all__ = ["KEPT_S", "MOST_KEPT", "Attempts", "TransferLog", "router", "transfer_log"]

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
        self._next: OrderedDict[tuple[str, str], str] = OrderedDict()

    def on_event(self, event: BusEvent) -> None:
        """Note how a transfer has ended."""
        if isinstance(event, ConversationReported) and event.event == "transfer":
            self.keep(_state(event.call_id, event.data))

    def keep(self, state: TransferState, *, instead_of: str | None = None) -> None:
        """Keep what has become of a transfer.

        Args:
            state: How it stands.
            instead_of: The request that this one goes on with, because that one came to nothing.
        """
        self._kept[state.call_id, state.request_id] = self._clock() + KEPT_S, state
        self._kept.move_to_end((state.call_id, state.request_id))
        if instead_of is not None:
            self._next[state.call_id, instead_of] = state.request_id
        for kept in (self._kept, self._next):
            if len(kept) > MOST_KEPT:
                kept.popitem(last=False)

    def latest(self, call_id: str, request_id: str) -> str:
        """Return the request that goes on with this one; itself, if none does."""
        return self._next.get((call_id, request_id), request_id)

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
async def transfer(deps: Deps, request: Request, call_id: CallId, order: TransferOrder) -> TransferTicket:
    """Begin a transfer. An event `transfer` with this `request_id` says how it ended, and so does
    `GET /api/calls/{call_id}/transfers/{request_id}`.
    """
    call = await call_in_progress(deps, call_id)
    if (why := call.control.no_transfer_because) is not None:
        raise ApiError(409, why, request_id=call.control.request_under_way)
    ticket = TransferTicket(request_id=secrets.token_hex(8))
    Attempts(call, order, transfer_log(request), ticket.request_id).begin()
    return ticket


class Attempts:
    """The attempts of one order, one destination after the other.

    Only an agent gets a result itself as a message: clients of the API get it as an event, one for each attempt.

    Args:
        call: The caller's call.
        order: Whom to transfer to.
        log: Keeps what becomes of it.
        ticket: The order's request id.
        on_failed: Called when nobody has taken the caller.
    """

    def __init__(
        self,
        call: GatewayCall,
        order: TransferOrder,
        log: TransferLog,
        ticket: str,
        on_failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._call = call
        self._order = order
        self._log = log
        self._waiting = [order.to, *order.or_to]
        self._made = 0
        self._ticket = ticket
        self._on_failed = on_failed
        self._holds = order.hold and not call.media_path.held

    def begin(self) -> None:
        """Hold the caller, if the order says so, and try the first destination."""
        if self._holds:
            self._call.control.switch("hold", True)
        self._try_next()

    def _try_next(self) -> None:
        self._made += 1
        to = self._waiting.pop(0)
        request_id = self._ticket if self._made == 1 else f"{self._ticket}.{self._made}"
        if self._made > 1 and (why := self._call.control.no_transfer_because) is not None:
            self._log.keep(self._state(request_id, to, "failed", why))
            self._give_back()
            return
        message = Transfer(
            call_id=self._call.call_id,
            request_id=request_id,
            to=to,
            warm=self._order.warm,
            summary=self._order.summary,
            ring_timeout_s=self._order.ring_timeout_s,
        )
        self._call.control.transfer(
            message,
            self._on_result,
            asyncio.get_running_loop().time(),
            from_number=self._order.from_number,
            headers=self._order.headers,
        )

    def _on_result(self, result: TransferResult) -> None:
        if result.outcome == "bridged":
            return
        if self._waiting:
            following = self._state(f"{self._ticket}.{self._made + 1}", self._waiting[0], None, "")
            self._log.keep(following, instead_of=self._ticket)
            asyncio.get_running_loop().call_soon(self._try_next)  # when this one is over in every respect
            return
        self._give_back()

    def _give_back(self) -> None:
        """End the hold, because nobody has taken the caller. The agent may be another one, or none, by now."""
        if self._holds:
            self._call.control.switch("hold", False)
        asyncio.get_running_loop().call_soon(self._on_failed)  # when this one is over in every respect

    def _state(
        self, request_id: str, to: str, outcome: TransferOutcomeName | None, detail: str
    ) -> TransferState:
        return TransferState(
            request_id=request_id,
            call_id=self._call.call_id,
            to=to,
            warm=self._order.warm,
            outcome=outcome,
            detail=detail,
        )


def transfer_log(request: Request) -> TransferLog:
    """Return the log of the gateway that was asked."""
    log = request.app.state.transfers
    assert isinstance(log, TransferLog)
    return log


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
    log = transfer_log(request)
    latest = log.latest(call_id, request_id)
    found = log.find(call_id, latest) or _under_way(deps, call_id, latest)
    found = found or await _recorded(deps, call_id, latest)
    if found is None:
        raise ApiError(404, f"call {call_id!r} has no transfer {request_id!r}")
    return found.model_copy(update={"request_id": request_id})


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
        raise ApiError(503, str(error), SOON) from None
    for event in detail.events if detail is not None else ():
        if event.event == "transfer" and event.data.get("request_id") == request_id:
            return _state(call_id, event.data)
    return None
