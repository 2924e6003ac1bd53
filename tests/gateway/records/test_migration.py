"""The tables are made by migrations, which run once, agree with the code, and refuse what is newer."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, MetaData, text

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records import migration as migrating
from piopiy_pipeline.gateway.records.database import database_address, keep_log_beside, open_engine
from piopiy_pipeline.gateway.records.migration import migrate
from piopiy_pipeline.gateway.records.tables import metadata

HEAD = max(path.name[1:5] for path in (Path(migrating.__file__).parent / "migrations/versions").glob("v*.py"))
"""The revision of this version: files are named by theirs."""


@pytest.fixture
def engine(config: GatewayConfig) -> Engine:
    return open_engine(database_address(config))


def test_the_migrations_make_the_tables_that_the_code_knows(engine: Engine) -> None:
    migrate(engine)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert context.get_current_heads() == (HEAD,)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_a_second_start_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        row = {"gateway_id": "g", "run_id": "r", "seen_at": datetime(2026, 1, 1, tzinfo=UTC)}
        connection.execute(metadata.tables["gateways"].insert(), row)
    before = _contents(engine)
    assert len(before["gateways"][1]) == 1
    migrate(engine)
    assert _contents(engine) == before
    engine.dispose()


def _contents(engine: Engine) -> dict[str, tuple[list[str], list[object]]]:
    """What is in the database: of each table its columns and indexes, and its rows."""
    found = MetaData()
    with engine.connect() as connection:
        found.reflect(connection)
        return {
            name: (
                [f"{column.name} {column.type} {column.nullable}" for column in table.columns]
                + sorted(str(index.name) for index in table.indexes),
                [tuple(row) for row in connection.execute(table.select())],
            )
            for name, table in found.tables.items()
        }


def test_gateways_that_start_at_once_make_the_tables_once(config: GatewayConfig) -> None:
    engines = [open_engine(database_address(config)) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate, engine) for engine in engines]:
            done.result(30)
    with engines[0].connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]
    for engine in engines:
        engine.dispose()


def test_a_new_file_that_another_gateway_switches_to_its_log_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    waited = []

    def then_the_other_is_done(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            other.execute("COMMIT")

    monkeypatch.setattr("time.sleep", then_the_other_is_done)
    mine = sqlite3.connect(path, timeout=0)
    keep_log_beside(mine)
    assert len(waited) == 3
    assert mine.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    mine.close()
    other.close()


def test_gateways_of_one_process_may_make_tables_in_different_databases_at_once(tmp_path: Path) -> None:
    engines = [
        open_engine(database_address(GatewayConfig(data_folder=tmp_path / str(number))))
        for number in range(6)
    ]
    with ThreadPoolExecutor(6) as threads:
        for done in [threads.submit(migrate, engine) for engine in engines]:
            done.result(30)
    for engine in engines:
        with engine.connect() as connection:
            assert MigrationContext.configure(connection).get_current_heads() == (HEAD,)
        engine.dispose()


def test_a_migration_that_fails_leaves_nothing_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
    with pytest.raises(ZeroDivisionError):
        migrate(engine)
    monkeypatch.undo()
    migrate(engine)
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(config: GatewayConfig, engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0999'"))
    engine.dispose()
    with pytest.raises(GatewayError, match=r"newer version than this gateway \(revision 0999\): upgrade"):
        _open(config)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nonsense", "not a database's address"),
        ("mysql://root@localhost/calls", "'mysql' is not supported"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:////proc/nowhere/calls.db", "cannot write /proc/nowhere/calls.db: .*data_folder"),
        ("postgresql://me:secret@127.0.0.1:1/calls", r"me:\*\*\*@127.0.0.1:1/calls: .*is it running"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_that_says_what_to_do(url: str, why: str) -> None:
    if url.startswith("postgresql"):
        pytest.importorskip("psycopg")
    with pytest.raises(GatewayError, match=why) as caught:
        _open(GatewayConfig(database_url=url))
    assert "secret" not in str(caught.value)


def test_a_data_folder_that_is_none_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        GatewayError, match=r"cannot write .*/file/calls\.sqlite3: .*make the folder writable"
    ):
        _open(GatewayConfig(data_folder=tmp_path / "file"))


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite3").write_text("once upon a time, there was no database " * 50)
    with pytest.raises(GatewayError, match=r"calls\.sqlite3: file is not a database"):
        _open(GatewayConfig(data_folder=tmp_path))


def _open(config: GatewayConfig) -> None:
    async def start() -> None:
        records = Records(config)
        try:
            await records.start()
        finally:
            await records.close()

    asyncio.run(start())


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://u:p@db/calls", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@db/calls", "postgresql+psycopg"),
        ("sqlite+aiosqlite:////tmp/calls.db", "sqlite"),
    ],
)
def test_an_address_with_the_driver_of_another_program_is_taken_without_it(url: str, driver: str) -> None:
    address = database_address(GatewayConfig(database_url=url))
    assert address.drivername == driver
    assert str(address.database).endswith(("calls", "calls.db"))
