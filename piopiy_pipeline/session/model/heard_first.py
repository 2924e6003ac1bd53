"""Has what the caller heard of the bot written before what interrupted it, however short the caller's turn is.

A turn of words that were complete when it began, such as keys, is over in the moment that it begins. The interruption
is still on its way then: the playout is asked how far it came. Written at once, the turn would stand in the
conversation before the half answer that it interrupted.
"""

from __future__ import annotations

import asyncio

from loguru import logger
from pipecat.frames.frames import InterruptionFrame
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.compat.frame_taps import watch_processed, watch_pushes
from piopiy_pipeline.transports.frames import EagerWithdrawnFrame

__all__ = ["HeardFirst"]

THROUGH_S = 0.3
"""An interruption takes no longer to the end of the pipeline: the playout is waited for, 0.1 s at most, and stages."""


class HeardFirst:
    """Follows the interruptions of one call from the user's side of the context to the bot's.

    Args:
        user: The user's side, from which interruptions come.
        assistant: The bot's side, which writes what was heard when an interruption reaches it.
    """

    def __init__(self, user: LLMUserAggregator, assistant: LLMAssistantAggregator) -> None:
        self._through = asyncio.Event()
        self._through.set()
        watch_pushes(user, self._sent, InterruptionFrame)
        watch_processed(assistant, self._arrived, InterruptionFrame)

    async def written(self) -> None:
        """Wait until the latest interruption is through."""
        try:
            async with asyncio.timeout(THROUGH_S):
                await self._through.wait()
        except TimeoutError:
            logger.debug("an interruption has not come through the pipeline in {} s", THROUGH_S)
            self._through.set()

    def _sent(self, _stage: FrameProcessor, frame: InterruptionFrame) -> None:
        if not isinstance(
            frame, EagerWithdrawnFrame
        ):  # of which nobody has heard anything, and which ends before
            self._through.clear()

    def _arrived(self, _stage: FrameProcessor, _frame: InterruptionFrame) -> None:
        self._through.set()
