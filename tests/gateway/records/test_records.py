"""Records as the gateway holds them: told at once, written by a thread, and patient with their database."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records import BadCursor, Records, RecordsUnavailable
from piopiy_pipeline.gateway.records import records as module
from piopiy_pipeline.gateway.records.store import Store
from piopiy_pipeline.gateway.records.write_queue import RecordBatch
from tests.support import postgres
from tests.support.call_events import NOON, CallEvents
from tests.support.calls import eventually


@asynccontextmanager
async def opened(tmp_path: Path, **settings: Any) -> AsyncIterator[Records]:
    records = Records(GatewayConfig(data_folder=tmp_path, **settings), wall=lambda: NOON + 1000)
    await records.start()
    try:
        yield records
    finally:
        await records.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


def test_what_was_told_is_in_the_next_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as records:
            call = CallEvents()
            for event in (call.placed(), call.answered(102), call.event(text="hello")):
                records.on_event(event)
            detail = await records.detail("call-1")
            assert detail is not None
            assert detail.call.phase is Phase.LIVE
            assert [one.data for one in detail.events] == [{"text": "hello"}]
            records.on_event(call.ended(105, EndReason.IDLE_TIMEOUT))
            [record] = (await records.page(phase=Phase.ENDED)).calls
            assert (record.reason, record.duration_s) == (EndReason.IDLE_TIMEOUT, 3.0)
            assert await records.detail("another") is None

    run(test)


def test_what_was_told_before_the_database_is_open_is_kept(tmp_path: Path) -> None:
    async def test() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path))
        records.on_event(CallEvents().placed())
        asked = asyncio.create_task(records.detail("call-1"))
        await records.start()
        assert await asked is not None
        await records.close()

    run(test)


def test_what_is_still_to_be_written_is_written_at_the_end(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as records:
            call = CallEvents()
            records.on_event(call.placed())
            for _ in range(2500):
                records.on_event(call.event())
        with pytest.raises(RecordsUnavailable, match="shutting down"):
            await records.page()
        records.on_event(call.ended(101))  # too late, and no error
        await records.close()

    run(test)
    database = sqlite3.connect(tmp_path / "calls.sqlite3")
    assert database.execute("SELECT count(*) FROM events").fetchone() == (2500,)
    database.close()


def test_each_turn_is_on_disk_before_the_next_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as records:
            call = CallEvents()
            records.on_event(call.placed())
            database = sqlite3.connect(tmp_path / "calls.sqlite3")
            told = 0

            def written() -> bool:
                return bool(database.execute("SELECT count(*) FROM events").fetchone() == (told,))

            while told < 5:
                told += 1
                records.on_event(call.event())
                await eventually(written)
            database.close()

    run(test)


class Failing:
    """A store's `write` that fails until it is told otherwise."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
        self.error: Exception | None = error
        self.asked = 0
        self._write = Store.write
        monkeypatch.setattr(Store, "write", lambda store, batch: self.write(store, batch))
        monkeypatch.setattr(module, "RETRY_S", (0.01, 0.05))

    def write(self, store: Store, batch: RecordBatch) -> int:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self._write(store, batch)


def test_a_database_that_fails_in_mid_run_is_tried_until_it_works_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, RecordsUnavailable("the disk is full"))
    said: list[str] = []

    async def test() -> None:
        async with opened(tmp_path) as records:
            call = CallEvents()
            records.on_event(call.placed())
            records.on_event(call.event())
            await eventually(lambda: failing.asked >= 5)
            assert records.failing
            page = await records.page()
            assert page.calls == [], "what the database has is better than no answer"
            records.on_event(call.event())
            records.on_event(call.ended(110))
            failing.error = None
            await eventually(lambda: not records.failing)
            detail = await records.detail("call-1")
            assert detail is not None
            assert detail.call.phase is Phase.ENDED
            assert [one.number for one in detail.events] == [1, 2]
            assert records.lost == 0

    handler = logger.add(said.append, level="INFO", filter="piopiy_pipeline.gateway.records")
    try:
        run(test)
    finally:
        logger.remove(handler)
    assert len([line for line in said if "the disk is full. Calls go on" in line]) == 1
    assert len([line for line in said if "written again; lost meanwhile: 0" in line]) == 1


def test_a_batch_that_breaks_the_store_is_left_out_and_the_next_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = Failing(monkeypatch, ZeroDivisionError("a bug"))

    async def test() -> None:
        async with opened(tmp_path) as records:
            records.on_event(CallEvents("bad").placed())
            await eventually(lambda: failing.asked == 1)
            failing.error = None
            records.on_event(CallEvents("good").placed())
            assert [record.call_id for record in (await records.page()).calls] == ["good"]

    run(test)


def test_a_database_that_is_away_at_the_end_does_not_hold_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Failing(monkeypatch, RecordsUnavailable("away"))

    async def test() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path))
        await records.start()
        records.on_event(CallEvents().placed())
        loop = asyncio.get_running_loop()
        before = loop.time()
        await records.close()
        assert loop.time() - before < module.FLUSH_S + 2

    run(test)


def test_a_database_that_stands_still_is_cut_off_and_found_again(
    postgres_server: postgres.Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its processes are halted, as by a machine that swaps: they take what is sent, and say nothing."""
    monkeypatch.setattr(module, "STUCK_S", 0.3)
    monkeypatch.setattr(module, "RETRY_S", (0.01, 0.05))
    url = postgres_server.new_database()
    halted: list[int] = []

    async def test() -> None:
        import psycopg

        async with opened(tmp_path, database_url=url) as records:
            call = CallEvents()
            records.on_event(call.placed())
            await records.page()
            with psycopg.connect(url) as connection:
                asked = (
                    "SELECT pid, pg_backend_pid() FROM pg_stat_activity WHERE datname = current_database()"
                )
                halted.extend(pid for pid, own in connection.execute(asked).fetchall() if pid != own)
            assert halted
            for pid in halted:
                os.kill(pid, signal.SIGSTOP)
            records.on_event(call.event())
            detail = await records.detail("call-1")
            while detail is None or not detail.events:
                detail = await records.detail("call-1")

    try:
        run(test)
    finally:
        for pid in halted:
            os.kill(pid, signal.SIGCONT)


def test_a_question_to_a_disk_that_stands_still_is_answered_that_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_S", 0.1)
    monkeypatch.setattr(module, "ANSWER_S", 0.2)
    moves = threading.Event()

    def stand_still(*_: object) -> None:
        assert moves.wait(30)

    async def test() -> None:
        async with opened(tmp_path) as records:
            await records.page()
            monkeypatch.setattr(Store, "page", stand_still)
            with pytest.raises(RecordsUnavailable, match="does not answer"):
                await records.page()
            moves.set()

    try:
        run(test)
    finally:
        moves.set()


def test_a_gateway_that_was_given_up_writes_its_calls_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_RENEWAL_S", 0.05)

    async def test() -> None:
        async with opened(tmp_path) as records:
            records.on_event(CallEvents().placed())
            await records.page()
            database = sqlite3.connect(tmp_path / "calls.sqlite3", isolation_level=None)
            database.execute("UPDATE calls SET phase = 'ended', reason = 'gateway_lost'")
            database.execute("UPDATE gateways SET seen_at = '2020-01-01 00:00:00.000000'")

            await eventually(
                lambda: database.execute("SELECT phase, reason FROM calls").fetchone() == ("offering", None)
            )
            database.close()

    run(test)


def test_old_calls_and_recordings_are_forgotten_at_the_start(tmp_path: Path) -> None:
    old = tmp_path / "recordings" / "2026-12-31" / "old.wav"
    old.parent.mkdir(parents=True)
    old.touch()
    os.utime(old, (NOON - 90_000, NOON - 90_000))

    async def test() -> None:
        async with opened(tmp_path) as records:
            for name, at in (("old", -90_000.0), ("young", 0.0)):
                call = CallEvents(name, at=at)
                records.on_event(call.placed())
                records.on_event(call.ended(at + 10))
        async with opened(tmp_path, keep_days=1) as records:
            await eventually(lambda: not old.parent.exists())
            assert [record.call_id for record in (await records.page()).calls] == ["young"]

    run(test)


def test_an_error_that_nobody_foresaw_ends_neither_the_writing_nor_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_RENEWAL_S", 0.05)
    renew, asked = Store.renew_lease, list[bool]()

    def renew_badly(store: Store) -> bool:
        asked.append(True)
        if len(asked) == 1:
            raise ZeroDivisionError("a bug")
        return renew(store)

    monkeypatch.setattr(Store, "renew_lease", renew_badly)

    async def test() -> None:
        async with opened(tmp_path) as records:
            await eventually(lambda: len(asked) >= 2)
            assert "the lease was not renewed" in records.problem
            assert not records.failing, "what happens to calls is written"
            records.on_event(CallEvents().placed())
            assert len((await records.page()).calls) == 1

    run(test)


def test_recordings_that_take_long_to_delete_hold_up_neither_the_writing_nor_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_RENEWAL_S", 0.05)
    monkeypatch.setattr(module, "DAY_S", 0.05)
    begun, moves = threading.Event(), threading.Event()
    renew, renewed, said = Store.renew_lease, list[bool](), list[str]()

    def stand_still(*_: object) -> int:
        begun.set()
        assert moves.wait(30)
        return 0

    def count(store: Store) -> bool:
        if begun.is_set():
            renewed.append(True)
        return renew(store)

    monkeypatch.setattr(module, "delete_recordings", stand_still)
    monkeypatch.setattr(Store, "renew_lease", count)

    async def test() -> None:
        async with opened(tmp_path, keep_days=1) as records:
            await eventually(lambda: len(renewed) >= 3)
            await eventually(lambda: any("still being deleted" in line for line in said))
            records.on_event(CallEvents(at=1000.0).placed())
            assert len((await records.page()).calls) == 1
            assert records.problem == ""
            moves.set()

    handler = logger.add(said.append, level="WARNING", filter="piopiy_pipeline.gateway.records")
    try:
        run(test)
    finally:
        moves.set()
        logger.remove(handler)


def test_questions_that_make_no_sense_are_errors(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as records:
            for limit in (0, 201):
                with pytest.raises(ValueError, match="limit"):
                    await records.page(limit=limit)
            with pytest.raises(BadCursor):
                await records.page(before="nonsense")
            with pytest.raises(GatewayError, match="started already"):
                await records.start()

    run(test)


def test_questions_to_records_that_could_not_be_opened_are_answered_at_once(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite3").write_text("no database " * 100)

    async def test() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path))
        with pytest.raises(GatewayError):
            await records.start()
        records.on_event(CallEvents().placed())
        with pytest.raises(RecordsUnavailable, match="not a database"):
            await records.page()
        await records.close()

    run(test)


def test_a_recording_is_on_the_record_once_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "recordings" / "day" / "call-1.wav"
    path.parent.mkdir(parents=True)
    path.touch()

    async def test() -> None:
        async with opened(tmp_path) as records:
            call = CallEvents(recorded=True)
            records.on_event(call.placed())
            records.on_event(call.ended(101))
            assert not (await records.page()).calls[0].recorded
            records.recorded("call-1", "day/call-1.wav")
            assert (await records.page()).calls[0].recorded
            assert await records.recording_path("call-1") == path

    run(test)
