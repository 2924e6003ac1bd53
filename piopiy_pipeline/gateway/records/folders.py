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

    What cannot be read or deleted is logged, and stays.

    Args:
        folder: The folder of recordings.
        before: Unix time in seconds. Recordings last written before it are deleted.

    Returns:
        How many recordings were deleted.
    """
    deleted = 0
    try:
        for path in folder.glob("*/*.wav"):
            deleted += _delete_recording(path, before)
        for day in folder.iterdir() if deleted else ():
            _delete_day(day)
    except OSError as error:
        logger.warning("recordings: cannot read {}: {}", folder, error.strerror)
    return deleted


def _delete_recording(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime >= before:
            return False
        path.unlink()
    except OSError as error:
        logger.warning("recordings: cannot delete {}: {}", path, error.strerror)
        return False
    return True


def _delete_day(day: Path) -> None:
    """Delete the folder of a day if it is empty. A recording may begin in it meanwhile, here or at another gateway."""
    try:
        if day.is_dir() and not any(day.iterdir()):
            day.rmdir()
    except OSError as error:
        logger.debug("recordings: {} stays: {}", day, error.strerror)
