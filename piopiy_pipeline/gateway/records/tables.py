"""The tables of the records. A change here needs a migration in `migrations/versions`.

The types of columns are those that SQLite and PostgreSQL both have. Ids and names are text without a limit:
they were limited where they came in, and a limit here would only lose a record.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

__all__ = ["UtcTime", "calls", "events", "gateways", "metadata", "saved_items"]


class UtcTime(TypeDecorator[datetime]):
    """A time with its time zone, to the microsecond. SQLite keeps no time zone: there it is always UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

gateways = Table(
    "gateways",
    metadata,
    Column("gateway_id", Text, primary_key=True),
    Column("run_id", Text, nullable=False),  # a new one with every start
    Column("seen_at", UtcTime, nullable=False),  # when the lease was renewed, by the database's clock
)

calls = Table(
    "calls",
    metadata,
    Column("call_id", Text, primary_key=True),
    Column("gateway_id", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("instance_id", Text),
    Column("kind", Text, nullable=False),
    Column("from_number", Text),
    Column("to_number", Text),
    Column("metadata", JSON(none_as_null=True)),
    Column("phase", Text, nullable=False),
    Column("placed_at", UtcTime, nullable=False),
    Column("answered_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("reason", Text),
    Column("detail", Text, nullable=False),
    Column("gaps", Integer, nullable=False),
    Column("worst_gap_s", Double, nullable=False),
    Column("frames_dropped", Integer, nullable=False),
    Column("caller_dropped_s", Double, nullable=False),
    Column("line", JSON, nullable=False),  # as `Leg.line_quality` measured it
    Column("recording", Text),  # path below the folder of recordings on the gateway's machine
    Index("calls_by_time", "placed_at", "call_id"),
    Index("calls_by_agent", "agent_id", "placed_at", "call_id"),
    Index("calls_by_end", "ended_at"),
)

events = Table(
    "events",
    metadata,
    Column("call_id", Text, ForeignKey("calls.call_id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("told_at", UtcTime, nullable=False),
    Column("at", Double, nullable=False),  # seconds since the answer
    Column("event", Text, nullable=False),
    Column("data", JSON, nullable=False),
)

saved_items = Table(
    "saved_items",
    metadata,
    Column("kind", Text, primary_key=True),  # `saved_items.ItemKind`
    Column("key", Text, primary_key=True),
    Column("gateway_id", Text, nullable=False),
    Column("saved_at", UtcTime, nullable=False),
    Column("number", Integer, nullable=False),
    Column("data", JSON, nullable=False),
    Index("saved_items_by_time", "kind", "saved_at", "number"),
)
