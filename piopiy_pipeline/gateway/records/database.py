"""Opens the database: which one, with which settings, and what to tell an operator when it does not answer.

Every wait has a limit here: for a connection, for a lock, for an answer. A thread that waits for ever would
keep the whole process from ending. Tested with both databases in ``tests/gateway/records/test_store.py``.
"""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records.database_file import SIDE_FILES
from piopiy_pipeline.gateway.records.folders import data_folder
from piopiy_pipeline.private_files import make_private_folder, restrict

__all__ = [
    "EngineConnections",
    "clean",
    "database_address",
    "explain",
    "keep_log_beside",
    "open_engine",
    "writing",
]

FILE_NAME = "calls.sqlite3"
CONNECT_S = 5
STATEMENT_S = 10
BUSY_S = 5.0
"""How long SQLite waits for another writer: a second gateway with the same data folder, a backup."""
AGAIN_S = 0.05


class EngineConnections:
    """The connections of an engine, which can be cut when their server does not answer.

    PostgreSQL's server keeps its time limits itself. When the server stands still, nobody else ends the wait.
    SQLite has no server: it waits only for its lock and for the disk, so nothing is cut.
    """

    def __init__(self, engine: Engine) -> None:
        self._lock = threading.Lock()
        self._connections: WeakSet[Any] = WeakSet()
        self._errors: tuple[type[Exception], ...] = (OSError,)
        if engine.dialect.name != "sqlite":
            assert engine.dialect.dbapi is not None
            self._errors = (OSError, engine.dialect.dbapi.Error)
            event.listen(engine, "connect", self._add)

    def cut(self) -> None:
        """Shut all connections down: whatever waits for an answer gets an error at once. From any thread."""
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            try:
                copy = socket.socket(fileno=os.dup(connection.fileno()))
            except self._errors:
                continue  # it is closed already
            with copy, suppress(OSError):  # the other side may close it first
                copy.shutdown(socket.SHUT_RDWR)

    def _add(self, connection: Any, _: ConnectionPoolEntry) -> None:
        with self._lock:
            self._connections.add(connection)


_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "sqlite": "sqlite",
}
"""By kind of database, what speaks to it, whatever driver an address names that other programs share."""


def database_address(config: GatewayConfig) -> URL:
    """Return the address of the database that the configuration names.

    Raises:
        GatewayError: It names none that can be used. The message says what to write.
    """
    if config.database_url is None:
        return URL.create("sqlite", database=str(data_folder(config) / FILE_NAME))
    try:
        url = make_url(config.database_url)
    except ArgumentError:
        raise GatewayError(
            "database_url: not a database's address. Write it as postgresql://user:password@host/name, "
            "or leave it out for a file in the data folder"
        ) from None
    driver = _DRIVERS.get(url.drivername.partition("+")[0])
    if driver is None:
        raise GatewayError(
            f"database_url: {url.drivername!r} is not supported: records are kept in SQLite or PostgreSQL"
        )
    url = url.set(drivername=driver)
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise GatewayError("database_url: SQLite needs a file here, as in sqlite:////var/lib/piopiy/calls.db")
    return url


def open_engine(url: URL) -> Engine:
    """Return an engine for `url`, which has not connected yet.

    Raises:
        GatewayError: The file cannot be written, or the driver is not installed.
    """
    if url.get_backend_name() == "sqlite":
        _make_private(Path(str(url.database)))
        engine = create_engine(
            url, connect_args={"timeout": BUSY_S}, json_serializer=_dump, pool_timeout=CONNECT_S
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        engine = create_engine(
            url,
            json_serializer=_dump,
            pool_pre_ping=True,
            pool_timeout=CONNECT_S,
            connect_args={
                "connect_timeout": CONNECT_S,
                "keepalives_idle": STATEMENT_S,
                "tcp_user_timeout": STATEMENT_S * 1000,
                "application_name": "piopiy gateway",
                "prepare_threshold": None,  # a pooler between us may not keep prepared statements
            },
        )
    except ModuleNotFoundError as error:
        raise GatewayError(
            f"database_url: PostgreSQL needs the package {error.name}: pip install 'piopiy-pipeline[postgres]'"
        ) from None
    except (NoSuchModuleError, SQLAlchemyError) as error:
        raise GatewayError(f"database_url: {error}") from None
    event.listen(engine, "connect", _prepare_postgres)
    return engine


def writing(engine: Engine) -> Engine:
    """Return the same engine for transactions that write. In SQLite they take the lock when they begin."""
    return engine.execution_options(begin="BEGIN IMMEDIATE")


def explain(url: URL, error: SQLAlchemyError) -> str:
    """Return a sentence for the operator: which database, what it said, what to check. It never has the password."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    text = said[0] if said else type(error).__name__
    if url.get_backend_name() == "sqlite":
        advice = (
            "is it a file of this gateway, may it write there, and is there room on the disk? (data_folder)"
        )
    else:
        advice = "is it running, and may this user create tables in it? (database_url)"
    return f"records of calls: {url.render_as_string(hide_password=True)}: {text}: {advice}"


def clean(text: str) -> str:
    """Return text that every database takes: without NUL characters and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _make_private(path: Path) -> None:
    """Create the file and its folder, readable by this user only: it holds what callers said."""
    try:
        make_private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise GatewayError(
            f"records of calls: cannot write {path}: {error.strerror}: "
            "make the folder writable, or set data_folder or database_url"
        ) from None
    for suffix in ("", *SIDE_FILES):
        restrict(path.with_name(path.name + suffix))


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # only `_begin_sqlite` begins transactions, those that alter tables too
    keep_log_beside(connection)
    for pragma in ("synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def keep_log_beside(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite does not wait for others that switch a new file at this moment."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(AGAIN_S)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(str(connection.get_execution_options().get("begin", "BEGIN")))


def _prepare_postgres(connection: Any, _: ConnectionPoolEntry) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = '{STATEMENT_S}s'")
        cursor.execute(f"SET lock_timeout = '{STATEMENT_S}s'")
    connection.commit()


def _dump(value: Any) -> str:
    """Return JSON that every database and every reader takes. Python's own may have NaN, which JSON does not."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_cleaned(value))
    return json.dumps(_cleaned(value)) if "\\u0000" in text or "\\ud" in text else text


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(str(key)): _cleaned(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
