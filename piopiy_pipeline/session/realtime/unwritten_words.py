"""`note_unwritten`: a turn of the caller that the provider of a speech-to-speech model has heard, and not written down.

The model answers it all the same. Without a turn, the record would have an answer to nothing, and a session that is
opened again would not know that the caller has spoken.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from pipecat.frames.frames import TranscriptionFrame
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.utils.time import time_now_iso8601

from piopiy_pipeline.compat.failed_transcripts import on_failed_transcript

__all__ = ["UNWRITTEN", "note_unwritten"]

UNWRITTEN = "…"
"""What stands in the place of words that nobody knows."""
LONGEST_WHY = 300


def note_unwritten(service: LLMService[Any], report: Callable[[LLMService[Any], str], None]) -> None:
    """Have such turns on the record, as `UNWRITTEN`, each with an error.

    Args:
        service: A service of OpenAI's mould, before it runs.
        report: Puts on record what is wrong with the service.
    """

    async def failed(item: str, why: str) -> None:
        report(
            service, "the caller's words were not written down" + (f": {why[:LONGEST_WHY]}" if why else "")
        )
        of_item = SimpleNamespace(item_id=item)
        words = TranscriptionFrame(UNWRITTEN, "", time_now_iso8601(), result=of_item)
        await service.push_frame(words, FrameDirection.UPSTREAM)

    on_failed_transcript(service, failed)
