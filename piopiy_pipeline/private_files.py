"""Files and folders that only this process's user may read: they hold what people say on the telephone, and keys.

The gateway's records and recordings and the agent's captures are made with this. It stands on the ground
floor because both sides keep such files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from tempfile import TemporaryFile

from loguru import logger

__all__ = ["make_private_folder", "restrict", "try_private_folder", "warn_if_others_can_read"]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(path: Path) -> None:
    """Create the folder and those above it that are missing, each with the mode 0700. Others stay as they are.

    Raises:
        OSError: It cannot be created. If that is because of a folder above it, the error is that folder's.
    """
    if path.is_dir():
        return
    cause: OSError | None = None
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir(mode=0o700)
        except FileNotFoundError as error:
            raise cause or error from None
        except OSError as error:
            # It is there, or it cannot be made: a folder above may be read-only, or not ours to look at.
            if folder == path and not path.is_dir():
                raise
            cause = None if folder.is_dir() else error


def try_private_folder(path: Path) -> None:
    """Create the folder as `make_private_folder` does, and write a file there that is gone at once. Blocks.

    Raises:
        OSError: The folder cannot be created, or nothing can be written there now.
    """
    make_private_folder(path)
    with TemporaryFile(dir=path, buffering=0) as trial:
        trial.write(bytes(4096))


def restrict(path: Path) -> None:
    """Take away the access of other users to a file or folder that this program has made. A change is logged.

    An earlier version, a copy or a restored backup may have left it open. What belongs to another user cannot
    be changed; then the log says what to do. A path where nothing is, is left alone. Blocks.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & _OTHERS or os.name != "posix":
            return
        path.chmod(mode & ~_OTHERS)
    except FileNotFoundError:
        return
    except OSError as error:
        logger.warning(
            "{} can be read by other users of this machine, and its mode cannot be changed ({}): "
            "give it to the user who runs this, and chmod it to {}",
            path,
            error.strerror,
            "0700" if path.is_dir() else "0600",
        )
        return
    logger.warning(
        "{} could be read by other users of this machine: its mode is {:04o} now",
        path,
        mode & ~_OTHERS,
    )


def warn_if_others_can_read(path: Path, what: str) -> None:
    """Log a warning if every user of this machine can read a file that somebody else has made. Blocks.

    Args:
        path: The file.
        what: What it holds, for the message.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # whoever reads it says so
    if mode & stat.S_IROTH and os.name == "posix":
        logger.warning(
            "{} holds {}, and every user of this machine can read it: chmod o-r {}", path, what, path
        )
