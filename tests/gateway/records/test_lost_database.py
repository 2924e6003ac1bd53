"""A database whose file disappears while the gateway uses it: said in the log, and records are kept again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records import records as module
from tests.support.call_events import NOON, CallEvents
from tests.support.calls import eventually
from tests.support.gateway_peers import config
from tests.support.web import API_KEY, client


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logger.add(lines.append, level="WARNING", format="{message}")
    yield lines
    logger.remove(handler)


def delete(path: Path) -> None:
    path.unlink()


def delete_with_its_log(path: Path) -> None:
    for one in path.parent.glob("calls.sqlite3*"):
        one.unlink()


def move(path: Path) -> None:
    path.rename(path.with_name("yesterday.sqlite3"))


def delete_the_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def replace_by_an_empty_file(path: Path) -> None:
    path.with_name("new").touch()
    path.with_name("new").replace(path)


def restore_a_backup(path: Path) -> None:
    source, copy = sqlite3.connect(path), sqlite3.connect(path.with_name("copy"))
    source.backup(copy)
    source.close()
    copy.executescript("DELETE FROM events; DELETE FROM calls")
    copy.commit()
    copy.close()
    path.with_name("copy").replace(path)


def overwrite_in_place(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.write(os.urandom(size))


def truncate_in_place(path: Path) -> None:
    os.truncate(path, 0)


def overwrite_all_but_the_header(path: Path) -> None:
    """And the log, so that everything is read from the file."""
    database = sqlite3.connect(path)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(size - 100))


GONE = [delete, delete_with_its_log, move, delete_the_folder, replace_by_an_empty_file, restore_a_backup]
BROKEN = [overwrite_in_place, truncate_in_place, overwrite_all_but_the_header]
ALL = GONE + BROKEN


@pytest.mark.parametrize("lose", ALL)
def test_a_file_that_is_gone_is_told_and_the_calls_under_way_are_kept_in_a_new_one(
    tmp_path: Path, said: list[str], lose: Callable[[Path], None]
) -> None:
    path = tmp_path / "data" / "calls.sqlite3"

    async def test() -> None:
        records = Records(GatewayConfig(data_folder=path.parent), wall=lambda: NOON + 1000)
        await records.start()
        before, over, call = CallEvents("before"), CallEvents("over"), CallEvents("under-way")
        for event in (
            before.placed(),
            over.placed(),
            call.placed(),
            call.answered(102),
            call.event(text="a"),
        ):
            records.on_event(event)
        records.on_event(before.ended(101))
        assert len((await records.page()).calls) == 3
        lose(path)
        records.on_event(over.ended(103))
        records.on_event(call.event(text="b"))
        what = f"{path} {'is broken' if lose is overwrite_all_but_the_header else 'was '}"
        await eventually(lambda: what in records.problem)
        await eventually(lambda: not records.failing)
        assert {record.call_id for record in (await records.page()).calls} == {"over", "under-way"}
        detail = await records.detail("under-way")
        assert detail is not None
        assert detail.call.phase is Phase.LIVE
        assert [one.data for one in detail.events] == [{"text": "b"}]
        await records.close()

    asyncio.run(test())
    assert len([line for line in said if "what it held is lost, and new records are kept in" in line]) == 1
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("SELECT count(*) FROM calls").fetchone() == (2,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    aside = [one for one in path.parent.glob("*.broken-*") if not one.name.endswith(("-wal", "-shm"))]
    assert len(aside) == (lose in BROKEN), "what is broken is kept for whoever may mend it"


def test_it_is_noticed_without_a_call(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE_RENEWAL_S", 0.05)

    async def test() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path))
        await records.start()
        (tmp_path / "calls.sqlite3").unlink()
        await eventually(lambda: bool(said))
        await records.close()

    asyncio.run(test())


def test_a_folder_that_cannot_be_made_again_is_tried_until_it_can(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", (0.01, 0.05))
    folder = tmp_path / "data"

    async def test() -> None:
        records = Records(GatewayConfig(data_folder=folder), wall=lambda: NOON)
        await records.start()
        call = CallEvents()
        records.on_event(call.placed())
        await records.page()
        shutil.rmtree(folder)
        folder.write_text("in the way")
        records.on_event(call.answered(102))
        await eventually(lambda: records.failing)
        assert "cannot be opened anew" in records.problem
        folder.unlink()
        await eventually(lambda: not records.failing)
        (record,) = (await records.page()).calls
        assert record.phase is Phase.LIVE
        await records.close()

    asyncio.run(test())
    assert len([line for line in said if "it is tried again until it works" in line]) == 1


def test_the_health_check_and_operators_hear_of_it(tmp_path: Path) -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], data_folder=tmp_path, records=True)
        async with Gateway(settings) as gateway, client(gateway) as web:
            await gateway.ready()
            assert "lost" not in (await web.get("/healthz")).text
            (tmp_path / "calls.sqlite3").unlink()
            assert (await web.get("/api/calls")).status_code == 200
            assert gateway.switchboard is not None
            gateway.switchboard.event_bus.publish(CallEvents().placed())
            health = await web.get("/healthz")
            while "being lost" not in health.text:
                health = await web.get("/healthz")
            assert health.status_code == 200, "calls go on, so nobody is to restart it"
            assert str(tmp_path) not in health.text
            (problem,) = (await web.get("/api/info")).json()["problems"]
            assert f"{tmp_path / 'calls.sqlite3'} was deleted or moved" in problem
            assert (await web.get("/api/info", headers={"Authorization": ""})).json()["problems"] == []

    asyncio.run(story())


# ---------------------------------------------------------------------- who may read it


def test_what_an_earlier_version_left_open_is_restricted_and_told(tmp_path: Path, said: list[str]) -> None:
    folder = tmp_path / "data"
    (folder / "recordings").mkdir(parents=True)
    for path in (folder, folder / "recordings"):
        path.chmod(0o755)
    (folder / "calls.sqlite3").touch(0o644)

    async def story() -> None:
        async with Gateway(config(data_folder=folder, records=True)) as gateway:
            await gateway.ready()

    asyncio.run(story())
    assert stat.S_IMODE((folder / "recordings").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "calls.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755, "it may be anybody's: what is in it is not"
    assert len([line for line in said if "could be read by other users of this machine" in line]) == 2


def test_folders_and_files_are_private_whatever_the_umask_is(tmp_path: Path) -> None:
    async def test() -> None:
        records = Records(GatewayConfig(data_folder=tmp_path / "var" / "data"))
        await records.start()
        records.on_event(CallEvents().placed())
        await records.page()
        for path in (tmp_path / "var").rglob("*"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
        await records.close()

    before = os.umask(0)
    try:
        asyncio.run(test())
    finally:
        os.umask(before)
