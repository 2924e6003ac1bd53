"""The calls in progress and the last ones that ended, in memory: what a gateway without a database knows.

`CallArchive` is what the API asks for calls. `RecentCalls` and `gateway.records.Records` implement it.
Tested through the API, in ``tests/gateway/api/test_calls.py`` and ``test_events.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import BadCursor, CallDetail, CallPage, CallRecord
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder
from piopiy_pipeline.trace_ids import trace_id_of

__all__ = ["CallArchive", "RecentCalls"]

ENDED_KEPT = 200
"""How many calls that ended are kept."""


class CallArchive(Protocol):
    """Looks up calls in progress and past calls."""

    async def page(
        self,
        *,
        limit: int,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """Return some calls, the latest first.

        Args:
            limit: The most calls to return, from 1 to 200.
            before: The `next` of the page before this one. None: the first page.
            agent_id: Only calls of this agent.
            kind: Only calls of this kind.
            phase: Only calls in this phase.

        Raises:
            BadCursor: `before` is not the `next` of a page.
            RecordsUnavailable: The database does not answer.
        """

    async def detail(self, call_id: str) -> CallDetail | None:
        """Return a call and its conversation, or None if there is no such call.

        Raises:
            RecordsUnavailable: The database does not answer.
        """

    async def recording_path(self, call_id: str) -> Path | None:
        """Return the file of a call's recording, or None if there is none on this machine.

        Raises:
            RecordsUnavailable: The database does not answer.
        """


class RecentCalls:
    """The calls under way and the last `ENDED_KEPT` that ended. `on_event` must get every event of the bus.

    Args:
        wall: The clock that people read: Unix time in seconds.
    """

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._records = RecordBuilder()
        self._ended: dict[str, CallRecord] = {}
        self._recordings: dict[str, Path] = {}

    def on_event(self, event: BusEvent) -> CallRecord | None:
        """Note a change of a call. Returns the call's record, or None for an event of a conversation."""
        if not isinstance(event, CallChanged):
            return None
        record = self._records.record(event)
        if record.phase is Phase.ENDED:
            self._ended[record.call_id] = record
            if len(self._ended) > ENDED_KEPT:
                oldest = next(iter(self._ended))
                del self._ended[oldest]
                self._recordings.pop(oldest, None)
        return record

    def recorded(self, call_id: str, path: Path) -> None:
        """Note that the recording of a call is complete, and its file."""
        if self.find(call_id) is not None:
            self._recordings[call_id] = path

    def under_way(self) -> list[CallRecord]:
        """Return the calls under way, the first placed first."""
        return self._records.under_way(self._wall())

    def find(self, call_id: str) -> CallRecord | None:
        """Return a call under way or one of the last that ended."""
        if (ended := self._ended.get(call_id)) is not None:
            return ended
        return self._records.one_under_way(call_id, self._wall())

    async def page(
        self,
        *,
        limit: int,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """Do as `CallArchive.page` says. A cursor is here the id of the last call of the page before."""
        every = [*self._ended.values(), *self.under_way()]
        every.sort(key=lambda one: (one.placed_at, one.call_id), reverse=True)
        if before is not None:
            ids = [one.call_id for one in every]
            if before not in ids:
                raise BadCursor(f"before: {before[:100]!r} is no 'next' of a page, or too old")
            every = every[ids.index(before) + 1 :]
        wanted = [
            one
            for one in every
            if (agent_id is None or one.agent_id == agent_id)
            and (kind is None or one.kind == kind)
            and (phase is None or one.phase is phase)
        ]
        page = wanted[:limit]
        return CallPage(calls=page, next=page[-1].call_id if len(wanted) > limit else None)

    async def detail(self, call_id: str) -> CallDetail | None:
        """Do as `CallArchive.detail` says. Conversations are not kept in memory, so the detail has no events."""
        record = self.find(call_id)
        return (
            None
            if record is None
            else CallDetail(call=record, events=[], trace_id=trace_id_of(record.call_id))
        )

    async def recording_path(self, call_id: str) -> Path | None:
        """Return the file of a call's recording, or None if there is none on this machine."""
        return self._recordings.get(call_id)
