"""Drops the words that an STT sends again, before any stage sees them: the shell around `RepeatedWords`."""

from __future__ import annotations

import asyncio

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


def drop_repeated_words(service: STTService) -> None:
    """Have a service push no words that it has pushed already, and that the caller has not said again.

    Args:
        service: The service, before it runs.
    """
    words = RepeatedWords()

    def accept(frame: Frame) -> bool:
        now = asyncio.get_running_loop().time()
        match frame:
            case VADUserStartedSpeakingFrame():
                words.speech_began(now - frame.start_secs)
            case VADUserStoppedSpeakingFrame():
                words.speech_ended(now - frame.stop_secs)
            case TranscriptionFrame() if words.final(frame.text, now):
                logger.debug("a final transcript came again, without speech: {!r}", frame.text)
                return False
            case InterimTranscriptionFrame() if words.interim(frame.text, now):
                logger.debug("an interim transcript came behind its final one: {!r}", frame.text)
                return False
        return True

    filter_pushes(service, accept)
