"""Drops the words that an STT sends again, before any stage sees them: the shell around `RepeatedWords`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat.frame_taps import filter_pushes
from piopiy_pipeline.turns.repeated_words import RepeatedWords

__all__ = ["drop_repeated_words"]


def drop_repeated_words(service: STTService, *, made_here: Callable[[Frame], bool]) -> None:
    """Have a service push no words that it has pushed already, and that the caller has not said again.

    Args:
        service: The service, before it runs.
        made_here: Whether a final transcript is none of the service's, but was made because one was missing.
    """
    words = RepeatedWords()

    def accept(frame: Frame) -> bool:
        now = asyncio.get_running_loop().time()
        match frame:
            case VADUserStartedSpeakingFrame():
                words.speech_began(now - frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                words.speech_ended(now - frame.stop_secs)
            case TranscriptionFrame() if words.final(frame.text, now) and not made_here(frame):
                logger.debug("a final transcript came again, without speech: {!r}", frame.text)
                return False
            case InterimTranscriptionFrame() if words.interim(frame.text, now):
                logger.debug("an interim transcript came behind its final one: {!r}", frame.text)
                return False
        return True

    filter_pushes(service, accept)
