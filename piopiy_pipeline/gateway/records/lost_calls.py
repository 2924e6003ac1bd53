"""Closes the calls of gateways that were lost, as rows of the database.

A call that is open and whose gateway's lease is older than `LEASE_S` was lost with its gateway. So was every call
that an earlier run of this same gateway left open. A database that was away for longer than that finds every lease
expired when it is back, also of gateways whose calls went on. So only a gateway that has held its own lease for
`LEASE_S` without a gap closes the calls of others. Every method blocks, within a transaction of the store.
Tested with both databases in ``tests/gateway/records/test_lost_calls.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from loguru import logger
from sqlalchemy import ColumnElement, Connection, Row, and_, func, not_, or_, select, update

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.saved_item_rows import adopt_items, write_items
from piopiy_pipeline.gateway.records.saved_items import SavedItem
from piopiy_pipeline.gateway.records.tables import calls, events, gateways
from piopiy_pipeline.text import counted

__all__ = ["LEASE_S", "LostCalls", "find_recording", "in_phase", "lease_expired", "read_as_lost"]

LEASE_S = 60.0
"""A gateway that did not renew its lease for this long has lost its calls."""
_LOST_DAYS = 7
"""How long after the loss of a call its gateway still looks for the call's recording."""


def lease_expired(seen_at: datetime, now: datetime) -> bool:
    """Return whether a lease that was renewed at `seen_at` is over."""
    return (now - seen_at).total_seconds() > LEASE_S


def find_recording(folder: Path, call_id: str) -> str | None:
    """Return the path, below the folder of recordings, of a recording that the call's record does not name. A folder
    that cannot be read is logged: the call is closed, and the lease renewed, all the same.
    """
    try:
        found = next(folder.glob(f"*/{call_id}.wav"), None)
    except OSError as error:
        logger.warning("recordings: cannot read {}: {}", folder, error.strerror)
        return None
    return None if found is None else found.relative_to(folder).as_posix()


def in_phase(phase: Phase, gone: Collection[str]) -> ColumnElement[bool]:
    """Return the condition of calls in a phase, where open calls of the gateways that are `gone` have ended."""
    lost = and_(calls.c.ended_at.is_(None), calls.c.gateway_id.in_(gone))
    if phase is Phase.ENDED:
        return or_(calls.c.phase == phase.value, lost)
    return and_(calls.c.phase == phase.value, not_(lost))


def read_as_lost(row: Row[Any], gone: Mapping[str, float]) -> dict[str, Any]:
    """Return the columns of a call, as `LostCalls` will write them if its gateway is gone.

    Args:
        row: A row of the table of calls.
        gone: The gateways that are gone, each with how many seconds ago it was heard last.
    """
    columns = dict(row._mapping)
    if row.ended_at is None and (ago_s := gone.get(row.gateway_id)) is not None:
        heard_at = datetime.now(UTC) - timedelta(seconds=ago_s)
        columns |= _lost_at((row.placed_at, row.answered_at, heard_at), row.gateway_id)
    return columns


def _seen(connection: Connection) -> dict[str, datetime]:
    """Return when each gateway's lease was renewed last."""
    return {row.gateway_id: row.seen_at for row in connection.execute(select(gateways))}


def _lost_at(known: Iterable[datetime | None], gateway_id: str) -> dict[str, Any]:
    """Return what is written of a lost call of which these moments are known."""
    return {
        "phase": Phase.ENDED.value,
        "ended_at": max(at for at in known if at is not None),
        "reason": EndReason.GATEWAY_LOST.value,
        "detail": f"the gateway {gateway_id} was lost with the call",
    }


class LostCalls:
    """Closes lost calls, and finds their recordings.

    Args:
        gateway_id: The name of this gateway.
        recordings: The folder of recordings.
        insert: The database's own `insert`.
        receivers: The ids of this gateway's receivers of webhooks. With any, webhooks tell of lost calls.
    """

    def __init__(
        self, gateway_id: str, recordings: Path, *, insert: Callable[..., Any], receivers: Collection[str]
    ) -> None:
        self._gateway_id = gateway_id
        self._recordings = recordings
        self._insert = insert
        self._receivers = receivers
        self.to_tell = 0
        """How many lost calls and webhooks of lost gateways have become this gateway's to tell."""
        self.held_since = datetime.max.replace(tzinfo=UTC)
        """Since when this gateway's own lease has not expired, by the database's clock."""

    def close_of_earlier_run(self, connection: Connection, now: datetime) -> None:
        """Close what an earlier run of this gateway left open. From `now` on its lease is held."""
        self.held_since = now
        seen = _seen(connection)
        self._close(connection, now, calls.c.gateway_id == self._gateway_id, seen)

    def close_of_others(self, connection: Connection, now: datetime, *, gap: bool) -> None:
        """Close the open calls of gateways whose lease has expired.

        Args:
            connection: The transaction.
            now: The database's clock.
            gap: Whether this gateway's own lease had expired. Then the others have time to renew theirs.
        """
        if gap or now < self.held_since:
            self.held_since = now
        if not lease_expired(self.held_since, now):
            return
        seen = _seen(connection)
        alive = {name for name, at in seen.items() if not lease_expired(at, now)} | {self._gateway_id}
        self._close(connection, now, calls.c.gateway_id.not_in(alive), seen)
        if self._receivers:
            self.to_tell += adopt_items(connection, self._gateway_id, alive, self._receivers)

    def _close(
        self, connection: Connection, now: datetime, whose: ColumnElement[bool], seen: Mapping[str, datetime]
    ) -> None:
        last_event = (
            select(func.max(events.c.told_at)).where(events.c.call_id == calls.c.call_id).scalar_subquery()
        )
        lost = connection.execute(
            select(calls, last_event.label("last_event")).where(calls.c.ended_at.is_(None), whose)
        ).all()
        for row in lost:
            known = (row.placed_at, row.answered_at, row.last_event, seen.get(row.gateway_id))
            connection.execute(
                update(calls)
                .where(calls.c.call_id == row.call_id)
                .values(
                    **_lost_at(known, row.gateway_id),
                    recording=row.recording or find_recording(self._recordings, row.call_id),
                )
            )
        if self._receivers:
            items = [SavedItem("lost_call", row.call_id, {}, now.timestamp()) for row in lost]
            write_items(connection, self._insert, self._gateway_id, items)
            self.to_tell += len(lost)
        if lost:
            were = counted(len(lost), "call was", "calls were")
            logger.warning("records of calls: {} lost with their gateway", were)

    def find_recordings(self, connection: Connection, now: datetime) -> None:
        """Find the recordings of calls that this gateway lost and that another gateway closed meanwhile."""
        lost = connection.scalars(
            select(calls.c.call_id).where(
                calls.c.gateway_id == self._gateway_id,
                calls.c.reason == EndReason.GATEWAY_LOST.value,
                calls.c.recording.is_(None),
                calls.c.ended_at > now - timedelta(days=_LOST_DAYS),
            )
        ).all()
        for call_id in lost:
            if (found := find_recording(self._recordings, call_id)) is not None:
                connection.execute(update(calls).where(calls.c.call_id == call_id).values(recording=found))
