"""An author's hook that changes what is written into a capture."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Redaction", "Side", "redacted"]

Side = Literal["caller", "bot"]


class Redaction:
    """Changes what is written of a call. Subclass it, and pass an instance as `redact=`.

    Both methods are called in a worker thread before anything reaches the disk, and never at the same time for
    the same call. An exception in them ends the capture, and the call goes on. `replay` needs the same
    redaction, because it finds an answer by the content of its request.
    """

    def text(self, text: str) -> str:
        """Return what is written instead of a text.

        Args:
            text: A transcript, a prompt, an answer, an argument or a result of a tool, or a number.
        """
        return text

    def audio(self, side: Side, pcm: NDArray[np.int16], rate: int, at_s: float) -> NDArray[np.int16]:
        """Return what is written instead of a piece of audio.

        The pieces come in the order of their times and are up to a few seconds long.

        Args:
            side: Who was heard: the caller or the bot.
            pcm: int16 of shape ``[samples]``.
            rate: The sample rate in Hz.
            at_s: The time of the first sample, in seconds since the call was answered.

        Returns:
            As many samples as there are in `pcm`.
        """
        return pcm


def redacted(value: Any, redaction: Redaction) -> Any:
    """Return a JSON value with every text in it redacted. Keys stay as they are."""
    if isinstance(value, str):
        return redaction.text(value)
    if isinstance(value, dict):
        return {key: redacted(item, redaction) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, redaction) for item in value]
    return value
