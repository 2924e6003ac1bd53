"""What must not be in a recording is taken out before it is written: an author's hook."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Redaction", "Side", "redacted"]

Side = Literal["caller", "bot"]


class Redaction:
    """Changes what is written of a call. Subclass it, and pass an instance as `redact=`.

    Both methods are called in a worker thread, before anything reaches the disk, for one call after
    the other and not at the same time. What they raise ends the recording, and nothing else.
    `replay` needs the same redaction: it finds an answer by the content of its request.
    """

    def text(self, text: str) -> str:
        """What is written in the place of `text`: transcripts, prompts, answers, arguments of tools, numbers."""
        return text

    def audio(self, side: Side, pcm: NDArray[np.int16], rate: int, at_s: float) -> NDArray[np.int16]:
        """What is written in the place of `pcm`, int16 of shape ``[samples]`` at `rate` Hz; as many samples.

        `at_s` is the time of its first sample, in seconds since the call was answered. It comes in
        order, in pieces of up to a few seconds.
        """
        return pcm


def redacted(value: Any, redaction: Redaction) -> Any:
    """A JSON value with every text in it redacted. Keys stay as they are."""
    if isinstance(value, str):
        return redaction.text(value)
    if isinstance(value, dict):
        return {key: redacted(item, redaction) for key, item in value.items()}
    if isinstance(value, list):
        return [redacted(item, redaction) for item in value]
    return value
