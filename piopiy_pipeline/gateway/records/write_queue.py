"""The queue of what waits to be written to the records, and of saved items. No I/O.

Only the latest state of a call is kept, so that a database that is away for an hour costs one row for each
call. Events are kept in order. Both are bounded. When there is no room, what waits already stays, and what
comes is lost and counted: the beginning of a conversation explains more than its end.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder
from piopiy_pipeline.gateway.records.saved_items import ItemKind, SavedItem, size_of

__all__ = ["RecordBatch", "WriteQueue"]

BATCH_EVENTS = 1000
"""The most events of one transaction."""


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """What is written in one transaction: calls first, because events refer to them."""

    calls: dict[str, CallRecord] = field(default_factory=dict)
    events: tuple[ConversationReported, ...] = ()
    recordings: dict[str, str] = field(default_factory=dict)
    """Call ids, and the paths of their files below the folder of recordings."""
    items: tuple[SavedItem, ...] = ()

    def __len__(self) -> int:
        return len(self.calls) + len(self.events) + len(self.recordings) + len(self.items)


class WriteQueue:
    """The calls, events, recordings and saved items that are not written yet.

    `lost` counts those for which there was no room.

    Args:
        max_calls: The most calls that wait, and the most recordings.
        max_events: The most events that wait.
        max_bytes: The most bytes of events that wait, and the most of saved items.
        max_items: The most saved items that wait.
    """

    def __init__(
        self,
        *,
        max_calls: int = 10_000,
        max_events: int = 20_000,
        max_bytes: int = 32 << 20,
        max_items: int = 20_000,
    ) -> None:
        self.lost = 0
        self._max_calls, self._max_events, self._max_bytes = max_calls, max_events, max_bytes
        self._records = RecordBuilder()
        self._calls: dict[str, CallRecord] = {}
        self._events: deque[tuple[ConversationReported, int]] = deque()  # with their sizes in bytes
        self._bytes = 0
        self._recordings: dict[str, str] = {}
        self._max_items = max_items
        self._items: dict[tuple[ItemKind, str], SavedItem] = {}
        self._item_bytes = 0
        self._saved = count()
        self._checkpoints: set[str] = set()  # calls under way of which one is saved
        self._known: set[str] = set()  # calls under way whose row was written, or will be

    def __len__(self) -> int:
        return len(self._calls) + len(self._events) + len(self._recordings) + len(self._items)

    def add(self, event: BusEvent) -> bool:
        """Queue the new state of a call or an event of its conversation. Partial events are left out.

        Returns:
            Whether something was queued.
        """
        if isinstance(event, CallChanged):
            return self._add_change(event)
        if event.partial:
            return False
        size = size_of(event.data)
        full = len(self._events) >= self._max_events or self._bytes + size > self._max_bytes
        if full or event.call_id not in self._known:
            self.lost += 1
            return False
        self._events.append((event, size))
        self._bytes += size
        return True

    def add_recording(self, call_id: str, path: str) -> bool:
        """Queue the `path`, below the folder of recordings, of a finished recording. Says whether it was queued."""
        if len(self._recordings) >= self._max_calls:
            self.lost += 1
            return False
        self._recordings[call_id] = path
        return True

    def save(
        self, kind: ItemKind, key: str, data: dict[str, Any], when: float, *, of_lost_call: bool = False
    ) -> bool:
        """Queue a saved item, instead of an earlier one of this kind and key. Says whether there was room.

        Args:
            kind: What it is.
            key: Its name among those of its kind.
            data: What is to be known of it.
            when: Unix time in seconds.
            of_lost_call: Whether it is the checkpoint of a call that was lost.
        """
        if kind == "checkpoint" and not of_lost_call:
            if key not in self._known:
                return False  # a call that is not on record, or is over
            self._checkpoints.add(key)
        return self._add_item(SavedItem(kind, key, data, when, next(self._saved), size_of(data)))

    def forget(self, kind: ItemKind, key: str) -> bool:
        """Queue that a saved item is deleted."""
        return self._add_item(SavedItem(kind, key, None, size=size_of(None)))

    def add_calls_under_way(self, when: float) -> None:
        """Queue the calls under way at the Unix time `when` once more: somebody may have overwritten them."""
        for record in self._records.under_way(when):
            self._add_call(record)

    def take(self) -> RecordBatch:
        """Remove what is to be written next from the queue."""
        calls, self._calls = self._calls, {}
        recordings, self._recordings = self._recordings, {}
        events = [self._events.popleft() for _ in range(min(BATCH_EVENTS, len(self._events)))]
        self._bytes -= sum(size for _, size in events)
        items, self._items, self._item_bytes = tuple(self._items.values()), {}, 0
        return RecordBatch(calls, tuple(event for event, _ in events), recordings, items)

    def put_back(self, batch: RecordBatch) -> None:
        """Queue a batch that could not be written before everything else. What came meanwhile is newer."""
        self._calls = {**batch.calls, **self._calls}
        self._recordings = {**batch.recordings, **self._recordings}
        self._items = {item.identity: item for item in batch.items} | self._items
        self._item_bytes = sum(item.size for item in self._items.values())
        events = [(event, size_of(event.data)) for event in batch.events]
        self._events.extendleft(reversed(events))
        self._bytes += sum(size for _, size in events)

    def _add_change(self, event: CallChanged) -> bool:
        record = self._records.record(event)
        added = self._add_call(record)
        if record.phase is Phase.ENDED:
            self._known.discard(record.call_id)
            if record.call_id in self._checkpoints:
                self._checkpoints.discard(record.call_id)
                self.forget("checkpoint", record.call_id)
        return added

    def _add_item(self, item: SavedItem) -> bool:
        before = self._items.get(item.identity)
        size = item.size - (0 if before is None else before.size)
        full = before is None and len(self._items) >= self._max_items
        if full or self._item_bytes + size > self._max_bytes:
            self.lost += 1
            return False
        self._items[item.identity] = item
        self._item_bytes += size
        return True

    def _add_call(self, record: CallRecord) -> bool:
        """Replace the state of a call that waits already. A call that does not wait needs room."""
        if record.call_id not in self._calls and len(self._calls) >= self._max_calls:
            self.lost += 1
            return False
        self._calls[record.call_id] = record
        self._known.add(record.call_id)
        return True
