"""Deletes recordings that are older than they are to be kept. Blocking, for a thread.

By the files' own times and not by the records: so nothing is forgotten that no record names, and each
of several gateways that share a database clears its own disk.
"""

from __future__ import annotations

from pathlib import Path

from loguru import logger

__all__ = ["delete_recordings"]


def delete_recordings(folder: Path, before: float) -> int:
    """Delete the recordings in `folder` last written before this Unix time, and days that are empty then.

    Returns how many there were. What cannot be deleted is logged, and left.
    """
    deleted = 0
    for path in folder.glob("*/*.wav"):
        try:
            if path.stat().st_mtime < before:
                path.unlink()
                deleted += 1
        except OSError as error:
            logger.warning("recordings: cannot delete {}: {}", path, error.strerror)
    if deleted:
        for day in folder.iterdir():
            if day.is_dir() and not any(day.iterdir()):
                day.rmdir()
    return deleted
