"""Migrates a database to the tables of this version, at the start of a gateway.

Two gateways may start at once on one database. The second one waits for the first, and has nothing to do then.
"""

from __future__ import annotations

from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.records.database import writing

__all__ = ["migrate"]

WAIT_S = 60
_LOCK = 0x70696F7069790001  # PostgreSQL's advisory locks are numbers: ours begins with our name
_one_at_a_time = Lock()  # Alembic keeps the migration that runs in a global variable


def migrate(engine: Engine) -> None:
    """Run the migrations that are missing, all of them or none.

    Raises:
        GatewayError: The database was made by a newer version.
        SQLAlchemyError: The database does not answer, or refuses.
    """
    with writing(engine).begin() as connection:
        _wait_for_others(connection)
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config)
        known = {script.revision for script in scripts.walk_revisions()}
        present = set(MigrationContext.configure(connection).get_current_heads())
        if newer := present - known:
            raise GatewayError(
                f"records of calls: the database is of a newer version than this gateway "
                f"(revision {', '.join(sorted(newer))}): upgrade the gateway, or use another database"
            )
        if present != set(scripts.get_heads()):
            with _one_at_a_time:
                command.upgrade(config, "head")


def _wait_for_others(connection: Connection) -> None:
    """Take PostgreSQL's lock for migrations, which ends with the transaction. SQLite's transaction is a lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_S}s'"))
        connection.execute(text("SET LOCAL statement_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
