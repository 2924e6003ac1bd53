"""`WrittenAnswer`: what a speech-to-speech model writes, if a TTS says it.

The stages behind the service know it as the answer of any model. What the caller has heard of it, the output transport
finds out from the TTS's audio. Providers have no truncation for text: after an interruption the words that were heard
take the place of the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    ErrorFrame,
    Frame,
    FunctionCallsStartedFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.session.realtime.openai_provider import HEARD, PUT_IN
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer

__all__ = ["WrittenAnswer"]

ITEMS = 16
"""So many items of one turn of the bot are remembered."""
ERROR_BEHIND_S = 0.05
"""An answer that has failed is told to be over, and why, so many seconds later at most."""


class WrittenAnswer(SpokenAnswer):
    """Stands around `push_frame` of one service whose answers have no audio.

    Args:
        service: The service, before it runs.
        provider: Its provider.
        assistant: Knows what was heard.
        done: Called when an answer is over.
    """

    def __init__(
        self,
        service: Any,
        provider: RealtimeProvider,
        assistant: LLMAssistantAggregator,
        *,
        done: Callable[[], None],
    ) -> None:
        super().__init__(service, provider, done=done)
        self._service = service
        self._wrote = False  # something of this answer has come, or it uses a tool
        self._late_end: asyncio.Task[None] | None = None
        self._turn: list[str] = []  # the items of the turn that is being said
        if hasattr(service, "send_client_event"):
            service.add_event_handler("on_conversation_item_created", self._item_created)
        assistant.add_event_handler("on_assistant_turn_stopped", self._turn_over)

    async def push_frame(self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM) -> None:
        """Push what the service pushes, in the form that the stages behind it know."""
        if direction is FrameDirection.DOWNSTREAM:
            match frame:
                case LLMFullResponseStartFrame():
                    await self._end_at_last()
                    self._wrote = self._wrote and self.open
                case LLMTextFrame() | FunctionCallsStartedFrame():
                    self._wrote = True
                case LLMFullResponseEndFrame() if self.open and not (self._wrote or self._late_end):
                    self._late_end = self._service.create_task(self._end_late(), "end of an empty answer")
                    return
        await super().push_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            await self._end_at_last()

    async def _end_late(self) -> None:
        """End an answer that is empty. pipecat ends one that has failed, too, and tells the error behind it."""
        await asyncio.sleep(ERROR_BEHIND_S)
        self._late_end = None
        await super().push_frame(LLMFullResponseEndFrame())

    async def _end_at_last(self) -> None:
        task, self._late_end = self._late_end, None
        if task is not None:
            await self._service.cancel_task(task)
            await super().push_frame(LLMFullResponseEndFrame())

    # ------------------------------------------------------------------ what was heard

    async def _item_created(self, _service: Any, name: str, item: Any) -> None:
        is_answer = (
            item.role == "assistant" and item.type == "message" and not name.startswith((HEARD, PUT_IN))
        )
        if is_answer and name not in self._turn:
            self._turn = [*self._turn, name][-ITEMS:]

    async def _turn_over(self, _assistant: Any, message: Any) -> None:
        """Tell the provider what was heard of a turn that was cut off."""
        said, self._turn = self._turn, []
        if message.interrupted and said:
            await self._provider.rewrite(said, (message.content or "").strip())
