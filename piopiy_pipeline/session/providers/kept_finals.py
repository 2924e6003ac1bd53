"""Keeps final transcripts through interruptions: what an interruption drops is the bot's, never the caller's words.

A turn of the caller begins with an interruption, in both directions, and pipecat empties the queue of each stage that
it passes. With it went a final transcript that came at once behind the one that had begun the turn.
"""

from __future__ import annotations

from pipecat.frames.frames import Frame, TranscriptionFrame
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.stt_service import STTService

from piopiy_pipeline.compat.frame_taps import filter_pushes, filter_queued

__all__ = ["keep_finals"]


def keep_finals(stage: STTService | LLMUserAggregator) -> None:
    """Have an interruption pass by final transcripts: by those of an STT wherever they are, and by those that wait for
    the conversation, whoever has made them.

    Args:
        stage: The STT, or the user's side of the conversation. Before it runs.
    """
    if isinstance(stage, STTService):
        filter_pushes(stage, _keep)
    else:
        filter_queued(stage, _keep)


def _keep(frame: Frame, _direction: FrameDirection = FrameDirection.DOWNSTREAM) -> bool:
    if isinstance(frame, TranscriptionFrame):
        frame.interruptible = False
    return True
