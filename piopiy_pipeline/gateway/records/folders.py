"""The folders of records and recordings on this machine, and the deletion of old recordings. It knows no
database.

Recordings are deleted by the files' own times and not by the records. So a recording that no record names
is deleted too, and each of several gateways that share a database clears its own disk.
"""

from __future__ import annotations

from pathlib import Path

from loguru import logger
from platformdirs import user_data_path

from piopiy_pipeline.gateway.config import GatewayConfig

__all__ = ["data_folder", "delete_recordings", "recordings_folder"]


def data_folder(config: GatewayConfig) -> Path:
    """Return the folder that the configuration names, or else this user's own data folder."""
    if config.data_folder is not None:
        return config.data_folder
    return user_data_path("piopiy", appauthor=False)


def recordings_folder(config: GatewayConfig) -> Path:
    """Return the folder of recordings. It has a folder for each day."""
    return data_folder(config) / "recordings"


def delete_recordings(folder: Path, before: float) -> int:
    """Delete old recordings, and the folders of days that are empty then. Blocks: run it in a thread.

    A file that cannot be deleted is logged, and stays.

    Args:
        folder: The folder of recordings.
        before: Unix time in seconds. Recordings last written before it are deleted.

    Returns:
        How many recordings were deleted.
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
