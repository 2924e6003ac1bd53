"""The end of the line for input audio.

In pipecat the caller's audio travels through every stage to the end of the pipeline, although none
behind the transcription wants it: about a tenth of a call's CPU. This stage goes in front of the
first one that does not.
"""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameCallback, FrameDirection, FrameProcessor

__all__ = ["InputAudioStop"]


class InputAudioStop(FrameProcessor):
    """Passes every frame on at once, except input audio, which ends here."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(enable_direct_mode=True, **kwargs)

    async def queue_frame(
        self,
        frame: Frame,
        direction: FrameDirection = FrameDirection.DOWNSTREAM,
        callback: FrameCallback | None = None,
    ) -> None:
        # The way through the base class costs more than the stage does; only a callback needs it.
        if callback is None and isinstance(frame, InputAudioRawFrame):
            return
        await super().queue_frame(frame, direction, callback)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
