"""Saved items as rows of the database. Every function blocks, in a thread of the records, within the transaction
of the connection that it is given. Tested with both databases in ``tests/gateway/records/test_saved_items.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, or_, select, update

from piopiy_pipeline.gateway.records.database import clean
from piopiy_pipeline.gateway.records.record_builder import time_of_day
from piopiy_pipeline.gateway.records.saved_items import RESUME_S, SAVED_S, ItemKind, SavedItem
from piopiy_pipeline.gateway.records.tables import calls, saved_items

__all__ = ["adopt_items", "delete_old_items", "read_items", "take_item", "write_items"]


def write_items(
    connection: Connection, insert: Callable[..., Any], gateway_id: str, items: Iterable[SavedItem]
) -> None:
    """Write items, or delete those without data. An item that is there already is replaced.

    An order that another gateway has saved stays as it is: its key is used there.
    """
    kept: list[SavedItem] = []
    gone: list[SavedItem] = []
    for item in items:
        (gone if item.data is None else kept).append(item)
    if kept:
        statement = insert(saved_items)
        changed = {name: statement.excluded[name] for name in ("gateway_id", "saved_at", "number", "data")}
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "key"], set_=changed, where=_may_change(gateway_id)
        )
        connection.execute(
            statement,
            [
                {
                    "kind": item.kind,
                    "key": clean(item.key),
                    "gateway_id": gateway_id,
                    "saved_at": time_of_day(item.saved_at),
                    "number": item.number,
                    "data": item.data,
                }
                for item in kept
            ],
        )
    for item in gone:
        connection.execute(_delete(item.kind, item.key).where(_may_change(gateway_id)))


def read_items(
    connection: Connection,
    kind: ItemKind,
    *,
    gateway_id: str | None = None,
    key: str | None = None,
    limit: int,
) -> list[SavedItem]:
    """Return items of a kind in the order in which they were saved: of one gateway, or with one key."""
    query = select(saved_items).where(saved_items.c.kind == kind)
    if gateway_id is not None:
        query = query.where(saved_items.c.gateway_id == gateway_id)
    if key is not None:
        query = query.where(saved_items.c.key == clean(key))
    query = query.order_by(saved_items.c.saved_at, saved_items.c.number).limit(limit)
    return [
        SavedItem(kind, row.key, row.data or {}, row.saved_at.timestamp(), row.number)
        for row in connection.execute(query)
    ]


def take_item(
    connection: Connection, kind: ItemKind, key: str, fits: Callable[[dict[str, Any]], bool]
) -> dict[str, Any] | None:
    """Return the data of an item and delete it, if there is one and it `fits`. Nobody can take it twice."""
    query = select(saved_items.c.data).where(saved_items.c.kind == kind, saved_items.c.key == clean(key))
    data: dict[str, Any] | None = connection.execute(query.with_for_update()).scalar_one_or_none()
    if data is None or not fits(data):
        return None
    return data if connection.execute(_delete(kind, key)).rowcount == 1 else None


def adopt_items(
    connection: Connection, gateway_id: str, alive: Collection[str], receivers: Collection[str]
) -> int:
    """Make what gateways that are not alive have to tell this gateway's to tell.

    Args:
        connection: The transaction.
        gateway_id: This gateway.
        alive: The gateways that tell themselves what they have to.
        receivers: The ids of this gateway's receivers. Webhooks to others wait for a gateway that has those.

    Returns:
        How many items it was.
    """
    ours = or_(*(saved_items.c.key.startswith(f"{receiver}.", autoescape=True) for receiver in receivers))
    statement = update(saved_items).where(
        or_(saved_items.c.kind == "lost_call", and_(saved_items.c.kind == "webhook", ours)),
        saved_items.c.gateway_id.not_in({*alive, gateway_id}),
    )
    return connection.execute(statement.values(gateway_id=gateway_id)).rowcount


def delete_old_items(connection: Connection, now: datetime) -> None:
    """Delete what nobody will ask for any more: see `SAVED_S` and `RESUME_S`."""
    over = select(calls.c.call_id).where(calls.c.ended_at < now - timedelta(seconds=RESUME_S))
    old = now - timedelta(seconds=SAVED_S)
    connection.execute(
        delete(saved_items).where(
            or_(
                and_(saved_items.c.kind == "checkpoint", saved_items.c.key.in_(over)),
                and_(saved_items.c.saved_at < old, saved_items.c.kind != "checkpoint"),
                and_(saved_items.c.saved_at < old, saved_items.c.key.not_in(select(calls.c.call_id))),
            )
        )
    )


def _may_change(gateway_id: str) -> ColumnElement[bool]:
    """Whether a gateway may replace or delete an item that is there."""
    return or_(saved_items.c.kind != "order", saved_items.c.gateway_id == gateway_id)


def _delete(kind: ItemKind, key: str) -> Any:
    return delete(saved_items).where(saved_items.c.kind == kind, saved_items.c.key == clean(key))
