"""What the caller has typed, as a final transcript. A model that hears the caller itself has not heard it.

Every other transcript is of something that was said, whoever has made the frame: an STT, a stage behind it, a provider.
"""

from __future__ import annotations

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.utils.time import time_now_iso8601

__all__ = ["is_typed", "typed_words"]

_TYPED = "piopiy_typed"
"""In the metadata of such a transcript."""


def typed_words(text: str) -> TranscriptionFrame:
    """Return the transcript of what was typed."""
    frame = TranscriptionFrame(text, "", time_now_iso8601(), finalized=True)
    frame.metadata[_TYPED] = True
    return frame


def is_typed(frame: Frame) -> bool:
    """Return whether a transcript is of something that was typed."""
    return _TYPED in frame.metadata
