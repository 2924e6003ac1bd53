"""`StandIn`: what a scripted service does to stand in the place of the bot's own.

A mixin in front of pipecat's service classes. The author's references to the service that was
replaced go on to work: its event handlers and tools, its settings frames, frames that are queued
into it. The service itself is never set up, so it never connects.
"""

from __future__ import annotations

from typing import Any

from pipecat.frames.frames import Frame, ServiceUpdateSettingsFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.compat.pipecat import share_event_handlers
from piopiy_pipeline.session.providers.provider_clients import close_clients

__all__ = ["StandIn"]


class StandIn(FrameProcessor):
    """Stands where another service was. `stand_for()` once, before the chain runs."""

    _stands_for: FrameProcessor | None = None

    def stand_for(self, original: FrameProcessor) -> None:
        """Take over what was given to `original`, now and later."""
        self._stands_for = original
        share_event_handlers(self, original)
        for method in ("queue_frame", "push_frame", "broadcast_frame"):
            setattr(original, method, getattr(self, method))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        original = self._stands_for
        if original is not None and isinstance(frame, ServiceUpdateSettingsFrame):
            frame.service = self if frame.service is original else frame.service
        await super().process_frame(frame, direction)

    async def cleanup(self) -> None:
        await super().cleanup()
        original: Any = self._stands_for
        if original is not None:
            await close_clients([original])
