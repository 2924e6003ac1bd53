"""`Truncations`: what a provider is told of answers that were cut off: how far the caller has heard them."""

from __future__ import annotations

import asyncio

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer

__all__ = ["Truncations"]

CUT_S = 0.2
"""So long the next answer waits for what was heard of the last one, in seconds."""


class Truncations:
    """Those of one call.

    Args:
        state: The call.
        provider: Is told.
        answer: Knows the items of what is said.
        context: The conversation.
    """

    def __init__(
        self, state: CallState, provider: RealtimeProvider, answer: SpokenAnswer, context: LLMContext
    ) -> None:
        self._state = state
        self._provider = provider
        self._answer = answer
        self._context = context
        self._settled = asyncio.Event()  # how much was heard of what the last interruption has cut off
        self._settled.set()

    async def wait(self) -> None:
        """Wait until the provider was told of the last interruption, in bounded time."""
        try:
            async with asyncio.timeout(CUT_S):
                await self._settled.wait()
        except TimeoutError:
            self._settled.set()

    async def cut(self, item: str | None, *, unheard: bool) -> None:
        """Take note of an interruption.

        Args:
            item: The item that was being said.
            unheard: Whether there is speech that was not heard, of which the output transport will tell.
        """
        if unheard:
            self._settled.clear()
        elif item is not None:  # all that has come was heard, and the provider may have more
            await self._tell({item: round(self._answer.received_ms[item] * self._state.link.bot_rate / 1000)})

    def heard(self, samples: dict[str, int]) -> None:
        """Tell the provider how many samples were heard of each item that was cut off."""
        if not self._answer.is_spared:
            self._state.spawn(self._tell(samples), "realtime_truncate")

    async def _tell(self, samples: dict[str, int]) -> None:
        for item, heard in samples.items():
            if item in self._answer.items:
                heard_ms = int(min(heard * 1000 / self._state.link.bot_rate, self._answer.received_ms[item]))
                part = self._answer.items[item]
                await self._provider.truncate(item, part, heard_ms)
        await self._provider.heard_no_more(self._heard_last)
        self._settled.set()

    def _heard_last(self) -> str:
        """Return what the conversation has of the bot's last words."""
        for message in reversed(self._context.get_messages()):
            if isinstance(message, dict) and message.get("role") == "assistant":
                content = message.get("content")
                return content if isinstance(content, str) else ""
        return ""
