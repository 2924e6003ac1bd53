"""`ConsoleLink`: what stands between the API of this gateway and its cluster, if there is one. A `ConsoleHost`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from loguru import logger
from pydantic import ValidationError

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.access.access import Header
from piopiy_pipeline.gateway.api.events import MAX_ELSEWHERE, EventsHub
from piopiy_pipeline.gateway.api.models import WatchedCall, WatchedEvent
from piopiy_pipeline.gateway.cluster.console_messages import RelayedAnswer, RelayedRequest, WatchedReport
from piopiy_pipeline.gateway.cluster.own_health import OwnHealth
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.gateway.records.recent_calls import RecentCalls

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.cluster.cluster import Cluster

__all__ = ["ConsoleLink", "RequestRelay"]


class RequestRelay(Protocol):
    """Has other gateways answer requests, and answers theirs."""

    async def ask(
        self, gateway: str, header: Header, method: str, path: str, *, query: str = "", body: str = ""
    ) -> RelayedAnswer:
        """Have another gateway answer an operator's request.

        Args:
            gateway: Its name.
            header: Looks up the headers of the request: whose key it has was checked.
            method: As in HTTP.
            path: The path.
            query: What follows the question mark.
            body: The body.

        Returns:
            The answer, or one with status 502, 503 or 504 that says why there is none.
        """

    async def carry_out(self, request: RelayedRequest) -> RelayedAnswer:
        """Carry out a request that came to another gateway."""


class ConsoleLink:
    """The link of one gateway. `relay` is set with the API, `health` when it is known where the gateway listens.

    Args:
        switchboard: The calls that are here.
        recent: Those that were until a while ago, and their records.
        events: Whoever watches calls.
    """

    def __init__(self, switchboard: Switchboard, recent: RecentCalls, events: EventsHub) -> None:
        self.cluster: Cluster | None = None
        """None: the gateway is alone."""
        self.relay: RequestRelay | None = None
        self.health: OwnHealth | None = None
        self._latest: dict[str, CallRecord] = {}  # of calls elsewhere that are watched
        self._switchboard = switchboard
        self._recent = recent
        self._events = events

    def join(self, cluster: Cluster) -> None:
        """Be the console's side of a cluster from now on."""
        self.cluster = cluster
        self.health = cluster.health
        cluster.calls.host = self
        self._events.begin_elsewhere = self._begin_elsewhere

    async def _begin_elsewhere(self, call_ids: frozenset[str]) -> None:
        assert self.cluster is not None
        calls = sorted(one for one in call_ids if not self._is_here(one))
        await self.cluster.calls.watch(calls[:MAX_ELSEWHERE])

    def _is_here(self, call_id: str) -> bool:
        return self._switchboard.call(call_id) is not None or self._recent.find(call_id) is not None

    async def carry_out(self, request: RelayedRequest) -> RelayedAnswer:
        if self.relay is None:
            return RelayedAnswer(status=503, body='{"error": "this gateway is not ready"}')
        return await self.relay.carry_out(request)

    def _note(self, record: CallRecord) -> None:
        """Keep the latest record of a call elsewhere that is watched."""
        self._latest.pop(record.call_id, None)
        if record.phase is not Phase.ENDED:
            self._latest[record.call_id] = record
        while len(self._latest) > MAX_ELSEWHERE:
            del self._latest[next(iter(self._latest))]

    def on_gone(self, call_id: str) -> None:
        record = self._latest.pop(call_id, None)
        if record is None:
            return
        ended = {"phase": Phase.ENDED, "reason": EndReason.GATEWAY_LOST, "ended_at": datetime.now(UTC)}
        self._events.tell(call_id, WatchedCall(call=record.model_copy(update=ended)).model_dump_json())

    def record_of(self, call_id: str) -> dict[str, Any] | None:
        record = self._recent.find(call_id)
        return None if record is None else record.model_dump(mode="json")

    def watched(self) -> set[str]:
        """Return which calls that are not here are watched, some dozens at most."""
        return {call_id for call_id in self._events.asked_for() if not self._is_here(call_id)}

    def on_report(self, report: WatchedReport) -> None:
        try:
            if report.record is not None:
                record = CallRecord.model_validate(report.record)
                self._note(record)
                self._events.tell(report.call_id, WatchedCall(call=record).model_dump_json())
            if (event := report.event) is not None:
                watched = WatchedEvent(
                    call_id=report.call_id,
                    number=event.number,
                    at=event.at,
                    event=event.event,
                    data=event.data,
                )
                self._events.tell(report.call_id, watched.model_dump_json())
        except ValidationError as error:
            logger.bind(call_id=report.call_id).warning(
                "what another gateway reports of a call cannot be read: {}", error
            )
