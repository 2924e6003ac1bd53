"""Keys of orders while the database stalls, fails or is another gateway's, too: nobody is dialled twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.gateway.api import idempotency as module
from piopiy_pipeline.gateway.api.idempotency import SAVE_S, IdempotencyStore, KeyBusy, KeyUnknown
from piopiy_pipeline.gateway.api.models import CallOrder
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records import records as records_module
from piopiy_pipeline.gateway.records.models import RecordsUnavailable
from piopiy_pipeline.gateway.records.saved_items import ItemKind, SavedItem
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.api_place import place, problem
from tests.support.gateway_peers import AGENT_ID, config
from tests.support.rest_v3 import AI_CALL, refusal

CALL = CallOrder(agent_id="a", to="1")


class StallingRecords(Records):
    """Records whose database answers no question about saved items until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(config(data_folder=folder, records=True))
        self.answers = asyncio.Event()

    async def item(self, kind: ItemKind, key: str) -> SavedItem | None:
        await self.answers.wait()
        return await super().item(kind, key)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, level="ERROR", format="{message}")
    yield lines
    logger.remove(handler)


def with_records(folder: Path, test: Callable[[StallingRecords], Awaitable[None]]) -> None:
    async def story() -> None:
        records = StallingRecords(folder)
        await records.start()
        try:
            await test(records)
        finally:
            await records.close()

    run_virtual(story, limit_s=100)


async def dialled(store: IdempotencyStore, call_id: str, calls: list[str]) -> None:
    async with store.saved("w", "k", CALL, call_id):
        calls.append(call_id)


def test_an_order_whose_key_cannot_be_looked_up_is_refused_in_time(tmp_path: Path, said: list[str]) -> None:
    async def test(records: StallingRecords) -> None:
        store, loop = IdempotencyStore(60, records), asyncio.get_running_loop()
        asked_at = loop.time()
        with pytest.raises(KeyUnknown):
            await store.saved_answer("w", "k", CALL)
        assert loop.time() - asked_at == pytest.approx(SAVE_S)
        records.answers.set()
        assert await store.saved_answer("w", "k", CALL) is None, "the client asks again, and now it is known"

    with_records(tmp_path, test)
    (line,) = said
    assert "whether an idempotency key was used is not known: no answer in 2 s" in line
    assert "nobody is dialled" in line


def test_an_order_whose_key_cannot_be_saved_is_not_dialled_and_may_be_sent_again(
    tmp_path: Path, said: list[str]
) -> None:
    calls: list[str] = []

    async def test(records: StallingRecords) -> None:
        store, loop = IdempotencyStore(60, records), asyncio.get_running_loop()
        asked_at = loop.time()
        with pytest.raises(KeyUnknown):
            await dialled(store, "first", calls)
        assert loop.time() - asked_at == pytest.approx(SAVE_S)
        assert calls == []
        records.answers.set()
        assert await store.saved_answer("w", "k", CALL) is None, "the refused order left nothing"
        await dialled(store, "second", calls)

    with_records(tmp_path, test)
    assert calls == ["second"]
    assert "an idempotency key is not saved: no answer in 2 s" in said[0]


def test_an_order_that_is_given_up_while_its_key_is_saved_leaves_nothing(tmp_path: Path) -> None:
    async def test(records: StallingRecords) -> None:
        store, calls = IdempotencyStore(60, records), list[str]()
        order = asyncio.create_task(dialled(store, "first", calls))
        await asyncio.sleep(SAVE_S / 2)
        order.cancel()
        await asyncio.wait([order])
        records.answers.set()
        assert await store.saved_answer("w", "k", CALL) is None
        assert calls == []

    with_records(tmp_path, test)


def test_of_two_gateways_that_get_an_order_at_once_one_dials(tmp_path: Path) -> None:
    """They share a database, and neither knew of the key when it looked."""

    async def story() -> None:
        settings: dict[str, Any] = {"data_folder": tmp_path, "records": True}
        one, two = Records(config(port=1, **settings)), Records(config(port=2, **settings))
        await one.start()
        await two.start()
        calls: list[str] = []
        await dialled(IdempotencyStore(60, one), "one", calls)
        second = IdempotencyStore(60, two)
        with pytest.raises(KeyBusy, match="another gateway"):
            await dialled(second, "two", calls)
        with pytest.raises(KeyBusy, match="as call one"):  # that it was refused does not free the other's key
            await second.saved_answer("w", "k", CALL)
        assert calls == ["one"]
        await one.close()
        await two.close()

    run_virtual(story, limit_s=100)


def test_a_key_that_the_records_have_no_room_for_is_not_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    async def test(records: StallingRecords) -> None:
        records.answers.set()
        monkeypatch.setattr(records, "save", lambda *_: None)
        with pytest.raises(KeyUnknown):
            await dialled(IdempotencyStore(60, records), "first", calls)

    with_records(tmp_path, test)
    assert calls == []


def test_while_the_database_takes_nothing_orders_with_a_key_are_refused_and_others_dialled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = True
    write = Store.write

    def failing_write(store: Store, batch: Any) -> int:
        if not works:
            raise RecordsUnavailable("the disk is full")
        return write(store, batch)

    monkeypatch.setattr(Store, "write", failing_write)
    monkeypatch.setattr(records_module, "RETRY_S", (0.01, 0.01))
    monkeypatch.setattr(records_module, "FRESH_S", 0.05)

    async def story() -> None:
        nonlocal works
        async with place(data_folder=tmp_path, records=True) as here:
            works = False
            refused = await here.order("k")
            status, text = problem(refused)
            assert (status, refused.headers["retry-after"]) == (503, "1")
            assert text.startswith("Idempotency-Key: the database does not answer, so nobody was dialled")
            key = {"Idempotency-Key": "v3"}
            v3 = await here.web.post("/v3/voice/ai/call", json=AI_CALL, headers=key)
            assert (refusal(v3)[:2], v3.headers["retry-after"]) == ((503, "gateway_error"), "1")
            chat = {"agent_id": AGENT_ID}
            begun = await here.web.post("/api/chats", json=chat, headers={"Idempotency-Key": "chat"})
            assert (begun.status_code, begun.headers["retry-after"]) == (503, "1")
            assert here.dialler.legs == []
            assert (await here.order()).status_code == 201, "an order without a key needs no database"
            works = True
            monkeypatch.setattr(records_module, "FRESH_S", 20.0)  # the next try may be late on a busy machine
            first = await here.order("k")
            assert first.status_code == 201
            assert (await here.order("k")).json()["call_id"] == first.json()["call_id"]
            assert len(here.dialler.legs) == 2

    asyncio.run(story())


def test_an_order_is_refused_over_http_while_the_database_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SAVE_S", 0.05)

    async def story() -> None:
        async with place(data_folder=tmp_path, records=True) as here:
            forever = asyncio.Event()
            with monkeypatch.context() as stalled:
                stalled.setattr(Records, "item", lambda *_: forever.wait())
                assert (await here.order("k")).status_code == 503
                assert here.dialler.legs == []
            monkeypatch.setattr(module, "SAVE_S", SAVE_S)
            assert (await here.order("k")).status_code == 201

    asyncio.run(story())
