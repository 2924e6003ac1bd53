"""The stage of a chain that says text, and how something gets there in order with what is said."""

from __future__ import annotations

from pipecat.frames.frames import Frame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.tts_service import TTSService

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.switch import ServiceSwitch

__all__ = ["queue_behind", "voice_of"]


def voice_of(chain: CallPipeline) -> FrameProcessor | None:
    """The stage that says text: the one called so, a TTS, or a switch of some."""
    if "tts" in chain:
        return chain["tts"]
    for name in chain.names:
        stage = chain[name]
        if isinstance(stage.active if isinstance(stage, ServiceSwitch) else stage, TTSService):
            return stage
    return None


async def queue_behind(stage: FrameProcessor, *frames: Frame) -> None:
    """Give these frames to a stage, behind what waits there."""
    for frame in frames:
        await stage.queue_frame(frame, FrameDirection.DOWNSTREAM)
