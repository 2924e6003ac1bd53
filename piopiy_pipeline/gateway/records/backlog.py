"""What is to be written to the records and is not yet. No I/O.

Of a call the latest state counts, so that a database that is away for an hour costs one row a call.
Events are kept in order. Both are bounded: when there is no room, what is there already stays, and
what comes is lost and counted, because the beginning of a conversation explains more than its end.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationTold
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder

__all__ = ["Backlog", "EventRow", "RecordBatch"]

BATCH_EVENTS = 1000
"""The most events of one transaction."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event of a conversation, as it is written."""

    call_id: str
    number: int
    when: float
    at: float
    event: str
    data: dict[str, Any]
    size: int
    """About so many bytes."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """What goes into one transaction: calls first, because events belong to them."""

    calls: dict[str, CallRecord] = field(default_factory=dict)
    events: tuple[EventRow, ...] = ()
    recordings: dict[str, str] = field(default_factory=dict)
    """Call ids, and where below the folder of recordings their files are."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.events) + len(self.recordings)


class Backlog:
    """See the module. `lost` counts the events, calls and recordings for which there was no room."""

    def __init__(
        self, *, max_calls: int = 10_000, max_events: int = 20_000, max_bytes: int = 32 << 20
    ) -> None:
        self.lost = 0
        self._max_calls, self._max_events, self._max_bytes = max_calls, max_events, max_bytes
        self._calendar = RecordBuilder()
        self._calls: dict[str, CallRecord] = {}
        self._events: deque[EventRow] = deque()
        self._bytes = 0
        self._recordings: dict[str, str] = {}
        self._known: set[str] = set()  # calls under way whose row was written, or will be

    def __len__(self) -> int:
        return len(self._calls) + len(self._events) + len(self._recordings)

    def tell(self, news: BusEvent) -> bool:
        """Take what happened; says whether there is something to write now. Partial events are not kept."""
        if isinstance(news, CallChanged):
            return self._tell_call(news)
        if news.partial:
            return False
        row = _row(news)
        full = len(self._events) >= self._max_events or self._bytes + row.size > self._max_bytes
        if full or row.call_id not in self._known:
            self.lost += 1
            return False
        self._events.append(row)
        self._bytes += row.size
        return True

    def tell_recording(self, call_id: str, path: str) -> bool:
        """A recording is finished: `path` is below the folder of recordings."""
        if len(self._recordings) >= self._max_calls:
            self.lost += 1
            return False
        self._recordings[call_id] = path
        return True

    def tell_again(self, when: float) -> None:
        """Write the calls under way once more: somebody may have written over them."""
        for record in self._calendar.under_way(when):
            self._add(record)

    def take(self) -> RecordBatch:
        """What to write next."""
        calls, self._calls = self._calls, {}
        recordings, self._recordings = self._recordings, {}
        events = tuple(self._events.popleft() for _ in range(min(BATCH_EVENTS, len(self._events))))
        self._bytes -= sum(row.size for row in events)
        return RecordBatch(calls, events, recordings)

    def put_back(self, batch: RecordBatch) -> None:
        """A batch that could not be written: it is the next again. What came meanwhile is newer."""
        self._calls = {**batch.calls, **self._calls}
        self._recordings = {**batch.recordings, **self._recordings}
        self._events.extendleft(reversed(batch.events))
        self._bytes += sum(row.size for row in batch.events)

    def _tell_call(self, news: CallChanged) -> bool:
        record = self._calendar.record(news)
        added = self._add(record)
        if record.phase is Phase.ENDED:
            self._known.discard(record.call_id)
        return added

    def _add(self, record: CallRecord) -> bool:
        """Calls that wait already stay, with their latest state; a new one needs room."""
        if record.call_id not in self._calls and len(self._calls) >= self._max_calls:
            self.lost += 1
            return False
        self._calls[record.call_id] = record
        self._known.add(record.call_id)
        return True


def _row(news: ConversationTold) -> EventRow:
    size = len(json.dumps(news.data, ensure_ascii=False, default=str)) + 100
    return EventRow(news.call_id, news.number, news.when, news.at, news.event, news.data, size)
