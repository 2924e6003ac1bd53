"""The calls under way and the last ones that ended, from memory: what there is without a database.

Also the seam to the database: the routes ask a `CallArchive`, and `gateway.records.Records` is one.
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

__all__ = ["CallArchive", "RecentCalls"]

ENDED_KEPT = 200


class CallArchive(Protocol):
    """Where calls are looked up."""

    async def page(
        self,
        *,
        limit: int,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """Some calls, the latest first. Raises `BadCursor` for a `before` that is none."""

    async def detail(self, call_id: str) -> CallDetail | None:
        """A call and its conversation."""

    async def recording_path(self, call_id: str) -> Path | None:
        """The file of its recording."""


class RecentCalls:
    """See the module. `watcher` is to be told of everything. `wall` is Unix time in seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._calendar = RecordBuilder()
        self._ended: dict[str, CallRecord] = {}
        self._recordings: dict[str, Path] = {}

    def watcher(self, news: BusEvent) -> CallRecord | None:
        """Take what happened. Returns the record of the call that changed, if one did."""
        if not isinstance(news, CallChanged):
            return None
        record = self._calendar.record(news)
        if record.phase is Phase.ENDED:
            self._ended[record.call_id] = record
            if len(self._ended) > ENDED_KEPT:
                oldest = next(iter(self._ended))
                del self._ended[oldest]
                self._recordings.pop(oldest, None)
        return record

    def recorded(self, call_id: str, path: Path) -> None:
        """The recording of a call is complete."""
        if self.find(call_id) is not None:
            self._recordings[call_id] = path

    def under_way(self) -> list[CallRecord]:
        """The calls under way, the first placed first."""
        return self._calendar.under_way(self._wall())

    def find(self, call_id: str) -> CallRecord | None:
        """A call of these."""
        if (ended := self._ended.get(call_id)) is not None:
            return ended
        return next((one for one in self.under_way() if one.call_id == call_id), None)

    async def page(
        self,
        *,
        limit: int,
        before: str | None = None,
        agent_id: str | None = None,
        kind: CallKind | None = None,
        phase: Phase | None = None,
    ) -> CallPage:
        """As `CallArchive.page`: a cursor is the id of the last call before it."""
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
        """As `CallArchive.detail`; what was said is not kept here."""
        record = self.find(call_id)
        return None if record is None else CallDetail(call=record, events=[])

    async def recording_path(self, call_id: str) -> Path | None:
        """As `CallArchive.recording_path`."""
        return self._recordings.get(call_id)
