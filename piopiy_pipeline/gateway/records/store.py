"""The records in their database. Every method blocks: one thread writes, and any thread may read.

The table `gateways` has a lease for each gateway: the time at which it was last renewed. A call that is open
and whose gateway's lease is older than `LEASE_S` was lost with its gateway. So was every call that an
earlier run of this same gateway left open. A gateway that was only cut off from the database writes its calls
again when it is back, because it knows their state best.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from loguru import logger
from sqlalchemy import URL, Connection, Engine, Row, and_, delete, func, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from piopiy_pipeline.call import CallKind
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import ConversationReported
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records.cursors import read_cursor, write_cursor
from piopiy_pipeline.gateway.records.database import (
    EngineConnections,
    clean,
    database_address,
    explain,
    open_engine,
    writing,
)
from piopiy_pipeline.gateway.records.database_file import DatabaseFile
from piopiy_pipeline.gateway.records.folders import recordings_folder
from piopiy_pipeline.gateway.records.lost_calls import LostCalls, in_phase, lease_expired, read_as_lost
from piopiy_pipeline.gateway.records.migration import migrate
from piopiy_pipeline.gateway.records.models import (
    CallDetail,
    CallEvent,
    CallPage,
    CallQuality,
    CallRecord,
    CallUsage,
    RecordsReplaced,
    RecordsUnavailable,
)
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from piopiy_pipeline.gateway.records.saved_item_rows import (
    delete_old_items,
    read_items,
    take_item,
    write_items,
)
from piopiy_pipeline.gateway.records.saved_items import ItemKind, SavedItem
from piopiy_pipeline.gateway.records.tables import calls, events, gateways
from piopiy_pipeline.gateway.records.write_queue import RecordBatch
from piopiy_pipeline.trace_ids import trace_id_of

__all__ = ["MAX_EVENTS", "Store"]

MAX_EVENTS = 10_000
_NONE_GONE: Mapping[str, float] = MappingProxyType({})
"""The most events of one call that `Store.detail` returns: the first ones."""
_DELETE_AT_ONCE = 200


class Store:
    """The records of calls in SQLite or PostgreSQL.

    To construct it opens the database, creates or migrates its tables, and closes the calls that an earlier
    run of this gateway left open. Every method raises `RecordsUnavailable` when the database does not answer.

    Args:
        config: Where the database and the recordings are.
        gateway_id: The name of this gateway, the same after a restart.

    Raises:
        GatewayError: The database cannot be used. The message says what to do.
    """

    def __init__(self, config: GatewayConfig, gateway_id: str) -> None:
        self.gateway_id = gateway_id
        self._run_id = uuid.uuid4().hex
        self._recordings = recordings_folder(config)
        self._url: URL = database_address(config)
        is_file = self._url.get_backend_name() == "sqlite"
        self._file = DatabaseFile(Path(str(self._url.database))) if is_file else None
        self._insert: Callable[..., Any] = sqlite.insert if is_file else postgresql.insert
        self._twin_logged = False
        self._lost_calls = LostCalls(
            gateway_id,
            self._recordings,
            insert=self._insert,
            receivers=[one.receiver_id for one in config.webhooks],
        )
        self._open()

    @property
    def place(self) -> str:
        """The address of the database, without a password."""
        return self._url.render_as_string(hide_password=True)

    # ------------------------------------------------------------------ writing, from one thread

    def write(self, batch: RecordBatch) -> int:
        """Write a batch in one transaction.

        Returns:
            How many rows the database refused. They are left out, and logged.

        Raises:
            RecordsReplaced: The file of the database was deleted, moved or replaced. A new one is open, in which
                the calls under way are missing. Nothing of the batch is written. `renew_lease` and
                `delete_calls` raise it, too.
        """
        self._require_file()
        with self._errors():
            try:
                self._write(batch)
            except _REFUSED as error:
                if not _is_refusal(error):
                    raise
            else:
                return 0
            return self._write_singly(batch)

    def renew_lease(self) -> bool:
        """Renew this gateway's lease, and close the calls of gateways whose lease has expired (see `LostCalls`).

        Returns:
            Whether another gateway may have closed this one's calls, because its lease had expired.
        """
        self._require_file()
        with self._errors(), self._writer.begin() as connection:
            now = _now(connection)
            mine = connection.execute(
                select(gateways.c.run_id, gateways.c.seen_at).where(gateways.c.gateway_id == self.gateway_id)
            ).one_or_none()
            gap = mine is None or mine.run_id != self._run_id or lease_expired(mine.seen_at, now)
            self._write_lease(connection, now)
            self._lost_calls.close_of_others(connection, now, gap=gap)
            delete_old_items(connection, now)
            if mine is not None and mine.run_id != self._run_id and not self._twin_logged:
                self._twin_logged = True
                logger.error(
                    "records of calls: another gateway calls itself {} in the same database: "
                    "give their machines different names, or each closes the other's calls",
                    self.gateway_id,
                )
            return gap

    def delete_calls(self, before: float) -> int:
        """Delete some of the calls that ended before this Unix time in seconds.

        Returns:
            How many were deleted; 0 if there are no more.
        """
        self._require_file()
        with self._errors(), self._writer.begin() as connection:
            old = connection.scalars(
                select(calls.c.call_id).where(calls.c.ended_at < time_of_day(before)).limit(_DELETE_AT_ONCE)
            ).all()
            if old:
                connection.execute(delete(calls).where(calls.c.call_id.in_(old)))
            return len(old)

    def close(self) -> None:
        """Give the lease back, if the database answers, and close the connections."""
        try:
            with self._writer.begin() as connection:
                connection.execute(
                    delete(gateways).where(
                        gateways.c.gateway_id == self.gateway_id, gateways.c.run_id == self._run_id
                    )
                )
        except SQLAlchemyError as error:
            logger.debug("{}", explain(self._url, error))
        finally:
            self._engine.dispose()
            if self._file is not None:
                self._file.let_go()

    def cut(self) -> None:
        """Cut the connections, so that whatever waits for the server raises `RecordsUnavailable`. From any thread."""
        self._connections.cut()

    # ------------------------------------------------------------------ reading, from any thread

    def page(
        self,
        limit: int,
        before: str | None,
        agent_id: str | None,
        kind: CallKind | None,
        phase: Phase | None,
        gone: Mapping[str, float] = _NONE_GONE,
    ) -> CallPage:
        """Do as `CallArchive.page` says. A cursor has the time and the id of the last call of the page before. Open
        calls of gateways that are `gone` are read as lost, each of these with how many seconds ago it was heard last.
        """
        query = select(calls).order_by(calls.c.placed_at.desc(), calls.c.call_id.desc()).limit(limit + 1)
        if before is not None:
            at, call_id = read_cursor(before)
            same = and_(calls.c.placed_at == at, calls.c.call_id < call_id)
            query = query.where(or_(calls.c.placed_at < at, same))
        for column, value in ((calls.c.agent_id, agent_id), (calls.c.kind, kind)):
            if value is not None:
                query = query.where(column == clean(str(value)))
        if phase is not None:
            query = query.where(in_phase(phase, gone))
        with self._errors(), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        records = [self._record(row, gone) for row in rows[:limit]]
        more = len(rows) > limit
        last = records[-1] if more else None
        return CallPage(calls=records, next=write_cursor(last.placed_at, last.call_id) if last else None)

    def detail(self, call_id: str, gone: Mapping[str, float] = _NONE_GONE) -> CallDetail | None:
        """Do as `CallArchive.detail` says. The detail has only the first `MAX_EVENTS` events of the conversation.
        `gone` is as for `page`.
        """
        with self._errors(), self._engine.connect() as connection:
            row = connection.execute(select(calls).where(calls.c.call_id == clean(call_id))).one_or_none()
            if row is None:
                return None
            conversation = connection.execute(
                select(events)
                .where(events.c.call_id == row.call_id)
                .order_by(events.c.number)
                .limit(MAX_EVENTS)
            ).all()
        said = [
            CallEvent(number=one.number, at=one.at, event=one.event, data=one.data or {})
            for one in conversation
        ]
        record, trace_id = self._record(row, gone), trace_id_of(row.call_id)
        return CallDetail(call=record, events=said, usage=CallUsage.of(said), trace_id=trace_id)

    def recording_path(self, call_id: str) -> Path | None:
        """Return the file of a call's recording, or None if there is none on this machine."""
        with self._errors(), self._engine.connect() as connection:
            name = connection.scalar(select(calls.c.recording).where(calls.c.call_id == clean(call_id)))
        return self._path(name)

    # ------------------------------------------------------------------ saved items

    @property
    def to_tell(self) -> int:
        """How many lost calls and webhooks of lost gateways have become this gateway's to tell."""
        return self._lost_calls.to_tell

    def own_items(self, kind: ItemKind, limit: int) -> list[SavedItem]:
        """Return the items of a kind that this gateway saved, the first ones first, at most `limit`."""
        with self._errors(), self._engine.connect() as connection:
            return read_items(connection, kind, gateway_id=self.gateway_id, limit=limit)

    def item(self, kind: ItemKind, key: str) -> SavedItem | None:
        """Return an item that this or another gateway on the same database saved, or None."""
        with self._errors(), self._engine.connect() as connection:
            return next(iter(read_items(connection, kind, key=key, limit=1)), None)

    def take_item(
        self, kind: ItemKind, key: str, fits: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any] | None:
        """Return the data of an item and delete it, if it `fits`. From the writing thread only."""
        self._require_file()
        with self._errors(), self._writer.begin() as connection:
            return take_item(connection, kind, key, fits)

    # ------------------------------------------------------------------ within

    def _open(self) -> None:
        self._engine: Engine = open_engine(self._url)
        self._writer = writing(self._engine)
        self._connections = EngineConnections(self._engine)
        try:
            with self._errors():
                migrate(self._engine)
                self._begin()
            if self._file is not None:
                self._file.remember()
        except OSError as error:
            self._engine.dispose()
            raise GatewayError(f"records of calls: {self.place}: {error.strerror}") from error
        except BaseException:
            self._engine.dispose()
            raise

    def _require_file(self) -> None:
        """Begin a new database if the file of this one is gone. Raises `RecordsReplaced` then."""
        if self._file is None:
            return
        try:
            happened = self._file.check()
        except OSError as error:
            raise RecordsUnavailable(f"records of calls: {self._file.path}: {error.strerror}") from error
        if not happened:
            return
        lost = f"records of calls: {self._file.path} {happened} while the gateway used it"
        self._engine.dispose()
        self._file.let_go()
        try:
            if (aside := self._file.set_aside()) is None:
                self._file.remove_side_files()
            else:
                lost = f"{lost}, and is {aside.name} now"
            self._open()
        except (GatewayError, OSError) as error:
            raise RecordsUnavailable(f"{lost}, and it cannot be opened anew: {error}") from error
        raise RecordsReplaced(
            f"{lost}: what it held is lost, and new records are kept in the file that is there now"
        )

    def _begin(self) -> None:
        """Close the calls that an earlier run left open, and write the first lease of this run."""
        with self._writer.begin() as connection:
            now = _now(connection)
            # The end of calls that were left open is the last renewal of the lease: read it before it is replaced.
            self._lost_calls.close_of_earlier_run(connection, now)
            self._lost_calls.find_recordings(connection, now)
            self._write_lease(connection, now)

    def _write_lease(self, connection: Connection, now: datetime) -> None:
        lease = {"run_id": self._run_id, "seen_at": now}
        insert = self._insert(gateways).values(gateway_id=self.gateway_id, **lease)
        connection.execute(insert.on_conflict_do_update(index_elements=["gateway_id"], set_=lease))
        connection.execute(delete(gateways).where(gateways.c.seen_at < now - timedelta(days=1)))

    def _write(self, batch: RecordBatch) -> None:
        with self._writer.begin() as connection:
            if batch.calls:
                insert = self._insert(calls)
                kept = ("call_id", "placed_at", "recording")
                changed = {one.name: insert.excluded[one.name] for one in calls.c if one.name not in kept}
                insert = insert.on_conflict_do_update(index_elements=["call_id"], set_=changed)
                connection.execute(insert, [self._call_row(record) for record in batch.calls.values()])
            if batch.events:
                # Events come twice if the answer to the first transaction was lost.
                insert = self._insert(events).on_conflict_do_nothing()
                connection.execute(insert, [_event_row(event) for event in batch.events])
            for call_id, path in batch.recordings.items():
                connection.execute(update(calls).where(calls.c.call_id == call_id).values(recording=path))
            write_items(connection, self._insert, self.gateway_id, batch.items)

    def _write_singly(self, batch: RecordBatch) -> int:
        refused = 0
        singles = [RecordBatch(calls={key: record}) for key, record in batch.calls.items()]
        singles += [RecordBatch(events=(event,)) for event in batch.events]
        singles += [RecordBatch(recordings={key: path}) for key, path in batch.recordings.items()]
        singles += [RecordBatch(items=(item,)) for item in batch.items]
        for single in singles:
            try:
                self._write(single)
            except _REFUSED as error:
                if not _is_refusal(error):
                    raise
                refused += 1
                logger.error("records of calls: the database refused a row: {}", error.orig or error)
        return refused

    def _call_row(self, record: CallRecord) -> dict[str, Any]:
        row = record.model_dump(exclude={"quality", "duration_s", "recorded"})
        row.update(record.quality.model_dump(), gateway_id=self.gateway_id, recording=None)
        return {name: _plain(value) for name, value in row.items()}

    def _record(self, row: Row[Any], gone: Mapping[str, float] = _NONE_GONE) -> CallRecord:
        columns = read_as_lost(row, gone)
        del columns["gateway_id"]
        columns["quality"] = CallQuality(**{name: columns.pop(name) for name in CallQuality.model_fields})
        columns["recorded"] = self._path(columns.pop("recording")) is not None
        if row.answered_at is not None:
            length = (columns["ended_at"] or datetime.now(UTC)) - row.answered_at
            columns["duration_s"] = max(0.0, length.total_seconds())
        return CallRecord(**columns)

    def _path(self, name: str | None) -> Path | None:
        """Return the file of a recording, if it is here: it may be on another machine, or deleted."""
        if name is None:
            return None
        path = self._recordings / name
        return path if path.is_file() else None

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            if self._file is not None:
                self._file.take_error(error)
            raise RecordsUnavailable(explain(self._url, error)) from error


_REFUSED = (StatementError,)


def _is_refusal(error: StatementError) -> bool:
    """Return whether the row is wrong. Otherwise the database does not answer."""
    return isinstance(error, DataError | IntegrityError) or not isinstance(error, DBAPIError)


def _now(connection: Connection) -> datetime:
    """Return the time of the database's clock, because the clocks of gateways may differ."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


def _event_row(event: ConversationReported) -> dict[str, Any]:
    return {
        "call_id": event.call_id,
        "number": event.number,
        "told_at": time_of_day(event.when),
        "at": event.at,
        "event": event.event,
        "data": event.data,
    }


def _plain(value: Any) -> Any:
    """Return a value as the database takes it: enumerations are written as their text, and text is cleaned."""
    return clean(str(value)) if isinstance(value, str) else value
