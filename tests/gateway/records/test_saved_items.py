"""Saved items in real databases: replaced, taken once, adopted, and deleted in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.records.lost_calls import LEASE_S
from piopiy_pipeline.gateway.records.saved_items import RESUME_S, SAVED_S
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.records.tables import calls, gateways
from piopiy_pipeline.gateway.records.write_queue import WriteQueue
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from tests.support.call_events import NOON, CallEvents

SECRET = "whsec_" + "a" * 32


@pytest.fixture
def told(config: GatewayConfig) -> GatewayConfig:
    return config.model_copy(update={"webhooks": [WebhookConfig(url="http://127.0.0.1:1/", secret=SECRET)]})


@pytest.fixture
def store(told: GatewayConfig) -> Iterator[Store]:
    one = Store(told, "one")
    yield one
    one.close()


def now() -> float:
    return datetime.now(UTC).timestamp()


def save(
    store: Store, *items: tuple[str, str, Mapping[str, object] | None], when: float | None = None
) -> None:
    queue, call = WriteQueue(), CallEvents("call")
    queue.add(call.placed())
    for kind, key, data in items:
        if data is None:
            queue.forget(kind, key)  # type: ignore[arg-type]
        else:
            queue.save(kind, key, dict(data), now() if when is None else when)  # type: ignore[arg-type]
    assert store.write(queue.take()) == 0


def test_an_item_is_replaced_by_a_later_one_and_deleted(store: Store) -> None:
    save(store, ("order", "k", {"n": 1}), ("order", "k", {"n": 2}), ("order", "other", {"n": 3}))
    item = store.item("order", "k")
    assert item is not None
    assert item.data == {"n": 2}
    save(store, ("order", "k", {"n": 4}))
    save(store, ("order", "other", None))
    assert [one.data for one in store.own_items("order", 10)] == [{"n": 4}]
    assert store.item("order", "other") is None
    assert store.item("webhook", "k") is None, "keys are of their kind"


def test_items_come_in_the_order_in_which_they_were_saved(store: Store) -> None:
    at = now()
    save(store, *(("webhook", key, {"key": key}) for key in ("c", "a", "b")), when=at)
    save(store, ("webhook", "0", {"key": "0"}), when=at + 1)
    assert [one.key for one in store.own_items("webhook", 10)] == ["c", "a", "b", "0"]
    assert [one.key for one in store.own_items("webhook", 2)] == ["c", "a"]


def test_an_item_is_taken_once_and_only_if_it_fits(store: Store) -> None:
    save(store, ("checkpoint", "call", {"state": 1}))
    assert store.take_item("checkpoint", "call", lambda data: data["state"] == 2) is None
    assert store.take_item("checkpoint", "call", lambda data: data["state"] == 1) == {"state": 1}
    assert store.take_item("checkpoint", "call", lambda _: True) is None


def test_the_webhooks_of_a_lost_gateway_and_its_lost_calls_become_the_others(
    store: Store, told: GatewayConfig
) -> None:
    other = Store(told, "other")
    ours, elsewhere = f"{told.webhooks[0].receiver_id}.msg_1", "0123456789abcdef.msg_1"
    save(other, ("webhook", ours, {"n": 1}), ("order", "o", {"n": 2}), ("webhook", elsewhere, {"n": 3}))
    store._lost_calls.held_since -= timedelta(seconds=LEASE_S + 1)
    store.renew_lease()
    assert store.own_items("webhook", 10) == []
    with store._writer.begin() as connection:
        old = datetime.now(UTC) - timedelta(seconds=LEASE_S + 1)
        connection.execute(update(gateways).where(gateways.c.gateway_id == "other").values(seen_at=old))
    store.renew_lease()
    assert [one.key for one in store.own_items("webhook", 10)] == [ours]
    assert [one.key for one in other.own_items("webhook", 10)] == [elsewhere], (
        "this gateway cannot deliver it"
    )
    assert [one.key for one in store.own_items("lost_call", 10)] == ["call"]
    assert store.to_tell == 2
    other._engine.dispose()


def test_an_order_of_another_gateway_is_neither_replaced_nor_deleted(
    store: Store, told: GatewayConfig
) -> None:
    other = Store(told, "other")
    save(other, ("order", "k", {"n": 1}))
    for data in ({"n": 2}, None):
        save(store, ("order", "k", data), ("order", "own", {"n": 3}))
        assert (item := store.item("order", "k")) is not None
        assert item.data == {"n": 1}
    assert [one.key for one in store.own_items("order", 10)] == ["own"], "and what came with it is written"
    save(other, ("order", "k", None))
    assert store.item("order", "k") is None
    other.close()


def test_what_is_too_old_is_deleted_and_a_checkpoint_some_time_after_its_call(store: Store) -> None:
    old = now() - SAVED_S - 10
    save(store, ("webhook", "old", {}), ("order", "old", {}), ("checkpoint", "call", {}), when=old)
    save(store, ("webhook", "new", {}), ("order", "new", {}))
    store.renew_lease()
    assert [one.key for one in store.own_items("webhook", 10)] == ["new"]
    assert [one.key for one in store.own_items("order", 10)] == ["new"]
    assert [one.key for one in store.own_items("checkpoint", 10)] == ["call"], "its call is under way"
    for ago, left in ((RESUME_S - 60, ["call"]), (RESUME_S + 60, [])):
        with store._writer.begin() as connection:
            connection.execute(update(calls).values(ended_at=datetime.now(UTC) - timedelta(seconds=ago)))
        store.renew_lease()
        assert [one.key for one in store.own_items("checkpoint", 10)] == left


# ---------------------------------------------------------------------- the queue


def test_the_queue_is_bounded_and_what_is_saved_and_forgotten_leaves_nothing() -> None:
    queue = WriteQueue(max_items=2)
    assert queue.save("order", "a", {}, NOON)
    assert queue.save("order", "b", {}, NOON)
    assert not queue.save("order", "c", {}, NOON)
    assert queue.lost == 1
    assert queue.save("order", "a", {"later": True}, NOON), "it replaces what waits"
    assert queue.forget("order", "b")
    batch = queue.take()
    assert [(item.key, item.data) for item in batch.items] == [("a", {"later": True}), ("b", None)]
    queue.save("order", "a", {"last": True}, NOON)
    queue.put_back(batch)
    assert [(item.key, item.data) for item in queue.take().items] == [("a", {"last": True}), ("b", None)]
    small = WriteQueue(max_bytes=1000)
    assert not small.save("order", "large", {"text": "x" * 1000}, NOON)


def test_a_checkpoint_is_saved_while_its_call_is_under_way_and_forgotten_with_its_end() -> None:
    queue, call = WriteQueue(), CallEvents("call")
    assert not queue.save("checkpoint", "call", {}, NOON), "it is not on record"
    queue.add(call.placed())
    assert queue.save("checkpoint", "call", {"turn": 1}, NOON)
    queue.take()
    queue.add(call.ended(105))
    assert [(item.kind, item.key, item.data) for item in queue.take().items] == [("checkpoint", "call", None)]
    assert not queue.save("checkpoint", "call", {}, NOON)
