"""`Entries`: what is put into a conversation in writing, and nobody has said: keys and texts of the caller's, notes and
messages of the code's.

The provider keeps the conversation, and a session that is being opened takes nothing: pipecat's services drop what
comes then. So each entry waits until a session stands, behind those that came before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from loguru import logger
from pipecat.frames.frames import Frame, LLMMessagesAppendFrame
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import filter_queued
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.words_of_caller import BEHIND_CUT_S
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["Entries"]

MAX_PENDING = 256
"""So many entries wait at most for a session that is being opened."""


class Entries:
    """Those of one conversation.

    Args:
        state: The call.
        service: The model's service, before it runs.
        user: The user's side of the conversation.
        output: The stage that speaks.
        provider: The model's provider.
        answers: Whether an answer of the model is under way.
        until_stands: Waits until the provider knows the conversation, in bounded time.
        answer: Has the model answer what the caller has written.
    """

    def __init__(
        self,
        state: CallState,
        service: LLMService[Any],
        user: LLMUserAggregator,
        output: BotOutput,
        provider: RealtimeProvider,
        *,
        answers: Callable[[], bool],
        until_stands: Callable[[], Awaitable[None]],
        answer: Callable[[], Awaitable[None]],
    ) -> None:
        self._state = state
        self._service = service
        self._user = user
        self._output = output
        self._provider = provider
        self._answers = answers
        self._until_stands = until_stands
        self._answer = answer
        self._pending = 0
        self._in_order = asyncio.Lock()
        filter_queued(user, self._accepts)

    @property
    def wait(self) -> bool:
        """Whether any of them are not in the conversation yet."""
        return self._pending > 0

    def note(self, text: str) -> None:
        """Put a note of the code's into the conversation, and have it answered. Returns at once."""
        frame = LLMMessagesAppendFrame(messages=[{"role": "developer", "content": text}], run_llm=True)
        frame.interruptible = False
        self.append(frame)

    def append(self, frame: LLMMessagesAppendFrame) -> None:
        """Put messages into the conversation, and have them answered if they want it. Returns at once."""
        self._spawn(self._append(frame), "realtime_messages")

    def typed(self, text: str) -> None:
        """Have the model answer what the caller has typed, and the provider has not heard. Returns at once."""
        self._spawn(self._answer_typed(text), "realtime_typed")

    async def tell(self, message: Any) -> None:
        """Tell the provider of a message that was put into the conversation here."""
        async with self._in_order:
            await self._until_stands()
            await self._provider.tell([message])

    def _spawn(self, entry: Coroutine[Any, Any, None], name: str) -> None:
        if self._pending >= MAX_PENDING:
            entry.close()
            logger.error(
                "{}: {} messages wait for a session: one more is left out", self._service, MAX_PENDING
            )
            return
        self._pending += 1
        self._state.spawn(entry, name).add_done_callback(self._entered)

    def _entered(self, _: object) -> None:
        self._pending -= 1

    def _accepts(self, frame: Frame, direction: FrameDirection) -> bool:
        """Lead messages for the conversation by way of the service, which tells the provider of them."""
        if isinstance(frame, LLMMessagesAppendFrame) and direction is FrameDirection.DOWNSTREAM:
            self.append(frame)
            return False
        return True

    async def _append(self, frame: LLMMessagesAppendFrame) -> None:
        async with self._in_order:
            await self._until_stands()
            await self._service.queue_frame(frame)

    async def _answer_typed(self, text: str) -> None:
        if self._output.has_unheard or self._answers():
            await self._user.broadcast_interruption()
        await asyncio.sleep(BEHIND_CUT_S)  # the first key has interrupted, too, and that goes on its own way
        async with self._in_order:
            await self._until_stands()
            is_ours = self._state.held_turns is None
            await self._user.push_aggregation()
            await self._provider.write(text)
        if is_ours:
            await self._answer()
