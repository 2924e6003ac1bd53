"""`CallCaptures`: where an agent leaves one replayable file for each call, if its author wants them."""

from __future__ import annotations

import os
from pathlib import Path

from loguru import logger

from piopiy_pipeline.arguments import check_kind
from piopiy_pipeline.capture import CallCapture, Redaction
from piopiy_pipeline.private_files import try_private_folder
from piopiy_pipeline.session import ResumableState
from piopiy_pipeline.signaling.messages import Offer

__all__ = ["CallCaptures", "captures_folder"]


class CallCaptures:
    """Makes the captures of an agent's calls.

    Args:
        folder: Where they go. By default the environment's ``PIOPIY_RECORD``; None for no files.
        redact: Changes what is written there.
        token: The agent's token, which is never written.

    Raises:
        ValueError: The path is not one of a folder.
    """

    def __init__(self, folder: str | Path | None, *, redact: Redaction | None, token: str) -> None:
        self._folder = captures_folder(folder)
        self._redact = redact
        self._token = token

    def try_folder(self) -> None:
        """Log at the start, and not in the first call, that the folder cannot be written. Blocks."""
        if self._folder is None:
            return
        try:
            try_private_folder(self._folder)
        except OSError as error:
            logger.error(
                "no call is captured: cannot write in {}: {}. Calls are served all the same",
                self._folder,
                error.strerror or error,
            )

    def begin(self, offer: Offer, resumed: ResumableState | None) -> CallCapture | None:
        """Return the capture of the call that was offered; None if none is wanted."""
        if self._folder is None:
            return None
        return CallCapture(
            self._folder,
            offer.info(),
            redact=self._redact,
            secrets={self._token, offer.media_token},
            resumed=None if resumed is None else resumed.to_checkpoint(),
        )


def captures_folder(given: str | Path | None) -> Path | None:
    """Return the folder for captured calls; for None that of the environment, if it names one.

    Raises:
        TypeError: It is no path.
        ValueError: The path is not one of a folder.
    """
    check_kind("record", given, (str, Path, type(None)), "the path of a folder, or None")
    name, record = ("record", given) if given else ("PIOPIY_RECORD", os.environ.get("PIOPIY_RECORD"))
    if not record:
        return None
    folder = Path(record)
    if folder.suffix == ".zip" or (folder.exists() and not folder.is_dir()):
        raise ValueError(f"{name}={str(folder)!r}: an agent takes many calls, so this must be a folder")
    return folder
