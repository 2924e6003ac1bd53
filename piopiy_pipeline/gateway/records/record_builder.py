"""Makes the record of a call from what the event bus says of it. No I/O.

A call's own times are on the event loop's clock, which begins anywhere and never jumps. Its record has
times of day. The time of day at which the call was placed is read from the wall clock once, and all other
times are counted from it. So a wall clock that is set during a call does not change the call's length.
"""

from __future__ import annotations

from datetime import UTC, datetime

from piopiy_pipeline.gateway.core.event_bus import CallChanged
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.gateway.records.models import CallQuality, CallRecord

__all__ = ["RecordBuilder", "time_of_day"]


def time_of_day(unix_s: float) -> datetime:
    """Return the time in UTC for a Unix time in seconds."""
    return datetime.fromtimestamp(unix_s, UTC)


class RecordBuilder:
    """Makes records of calls. It remembers the calls under way, and no others."""

    def __init__(self) -> None:
        self._under_way: dict[str, tuple[CallSnapshot, float]] = {}

    def record(self, event: CallChanged) -> CallRecord:
        """Return the record of a call as it is now. Call this for every change of a call, in order."""
        call = event.call
        known = self._under_way.get(call.call_id)
        offset = known[1] if known else event.when - _changed_at(call)
        if call.phase is Phase.ENDED:
            self._under_way.pop(call.call_id, None)
        else:
            self._under_way[call.call_id] = call, offset
        return _record(call, offset, event.when)

    def one_under_way(self, call_id: str, when: float) -> CallRecord | None:
        """Return the record of one call under way at the Unix time `when`."""
        known = self._under_way.get(call_id)
        return None if known is None else _record(known[0], known[1], when)

    def under_way(self, when: float) -> list[CallRecord]:
        """Return the records of the calls under way at the Unix time `when`, the first placed first."""
        return [_record(call, offset, when) for call, offset in self._under_way.values()]


def _changed_at(call: CallSnapshot) -> float:
    """Return the loop's time of the latest change of a call that its snapshot has a time for."""
    if call.ended_at is not None:
        return call.ended_at
    return call.placed_at if call.answered_at is None else call.answered_at


def _record(call: CallSnapshot, offset: float, when: float) -> CallRecord:
    ended = when if call.ended_at is None else call.ended_at + offset
    return CallRecord(
        call_id=call.call_id,
        agent_id=call.agent_id,
        instance_id=call.instance_id,
        kind=call.kind,
        from_number=call.from_number,
        to_number=call.to_number,
        metadata=call.metadata,
        phase=call.phase,
        placed_at=time_of_day(call.placed_at + offset),
        answered_at=None if call.answered_at is None else time_of_day(call.answered_at + offset),
        ended_at=None if call.ended_at is None else time_of_day(ended),
        duration_s=None if call.answered_at is None else max(0.0, ended - call.answered_at - offset),
        reason=call.reason,
        detail=call.detail,
        recorded=call.recorded and call.phase is Phase.ENDED,
        quality=CallQuality(
            gaps=call.gaps,
            worst_gap_s=call.worst_gap_s,
            frames_dropped=call.frames_dropped,
            caller_dropped_s=call.caller_dropped_s,
            line=call.line,
        ),
    )
