"""Watches over the file of an SQLite database while it is open: is it still there, and still a database?

Tested in ``tests/gateway/records/test_lost_database.py``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

__all__ = ["SIDE_FILES", "DatabaseFile"]

SIDE_FILES = ("-wal", "-shm")
"""What SQLite keeps beside the file: the write-ahead log, which holds the latest rows, and its index."""
MAX_ASIDE = 3
"""How many broken files are kept."""
_MAGIC = b"SQLite format 3\0"
"""How the file of a database begins (https://sqlite.org/fileformat.html)."""
_BROKEN = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class DatabaseFile:
    """The file of an SQLite database that is open, and whether it is still where it was.

    A process goes on writing to a file that was deleted, moved, replaced or overwritten: SQLite does not report
    it, and with the last connection the records are gone. So the file is looked at before each transaction. Its
    header is read by a descriptor that stays open: to close one takes all locks of the process from the file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: dict[str, tuple[int, int] | None] = {}
        self._descriptor: int | None = None
        self._broken = ""

    def remember(self) -> None:
        """Take what is there now, the write-ahead log included, for the database that is open."""
        self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        self._opened = {suffix: self._identity(suffix) for suffix in ("", *SIDE_FILES)}

    def check(self) -> str:
        """Say what became of the file since `remember`; an empty string if nothing did."""
        now = self._identity("")
        if now is None:
            return "was deleted or moved"
        if now != self._opened.get(""):
            return "was replaced by another file"
        if self._descriptor is not None and os.pread(self._descriptor, len(_MAGIC), 0) != _MAGIC:
            return "was overwritten"
        if self._broken:
            return f"is broken ({self._broken})"
        self._opened |= {suffix: self._identity(suffix) for suffix in SIDE_FILES}  # these come and go
        return ""

    def take_error(self, error: SQLAlchemyError) -> None:
        """Note an error of SQLite: `check` reports those that say that the file is broken."""
        cause = getattr(error, "orig", None)
        if isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF in _BROKEN:
            self._broken = str(cause)

    def let_go(self) -> None:
        """Forget the database that was open. Only when no connection to it is open any more."""
        self._broken = ""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def set_aside(self) -> Path | None:
        """Rename a file that is there but of no use, with its write-ahead log, so that a new one can be made.

        Returns:
            Its new path; None if another file, or none, is where it was.
        """
        if (identity := self._identity("")) is None or identity != self._opened.get(""):
            return None
        old = sorted(self.path.parent.glob(f"{self.path.name}.broken-*[0-9]"))
        for surplus in old[: max(0, len(old) - MAX_ASIDE + 1)]:
            for suffix in ("", *SIDE_FILES):
                surplus.with_name(surplus.name + suffix).unlink(missing_ok=True)
        aside = self.path.with_name(f"{self.path.name}.broken-{time.time_ns()}")
        for suffix in SIDE_FILES:  # first, or the new file would be taken to have this log
            if self._identity(suffix) is not None:
                self.path.with_name(self.path.name + suffix).rename(aside.with_name(aside.name + suffix))
        return self.path.rename(aside)

    def remove_side_files(self) -> None:
        """Delete the write-ahead log of the file that is gone: SQLite would take it for that of the new file."""
        for suffix in SIDE_FILES:
            identity = self._identity(suffix)
            if identity is not None and identity == self._opened.get(suffix):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _identity(self, suffix: str) -> tuple[int, int] | None:
        try:
            status = self.path.with_name(self.path.name + suffix).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
