"""`Truncations`: what a provider is told of answers that were cut off: how far the caller has heard them.

Only the output transport knows what was heard. It says so once behind each interruption, and what the provider is told
follows from that alone: what was not heard to its end was cut off, and so was the item of which more was to come.
"""

from __future__ import annotations

import asyncio

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.session.realtime.spoken_answer import SpokenAnswer
from piopiy_pipeline.transports.spoken_contexts import HeardContext

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
        self._unfinished: str | None = None  # the item that was being said when the interruption came
        self._settled = asyncio.Event()  # how much was heard of what the last interruption has cut off
        self._settled.set()

    async def wait(self) -> None:
        """Wait until the provider was told of the last interruption, in bounded time."""
        try:
            async with asyncio.timeout(CUT_S):
                await self._settled.wait()
        except TimeoutError:
            self._settled.set()

    def interrupted(self) -> None:
        """Take note of an interruption that has come to the model, on its way to the output transport."""
        item, self._answer.cut_item = self._answer.cut_item, None
        self._unfinished = item or self._unfinished
        self._settled.clear()

    def heard(self, contexts: dict[str, HeardContext]) -> None:
        """Tell the provider how much was heard of what an interruption has cut off.

        Args:
            contexts: What the output transport knows of the speech before the interruption.
        """
        unfinished, self._unfinished = self._unfinished, None
        cut_off = {name: heard.samples for name, heard in contexts.items() if not heard.whole}
        if unfinished is not None:  # of what has come perhaps all was heard, and the provider may have more
            cut_off[unfinished] = contexts[unfinished].samples if unfinished in contexts else 0
        if cut_off and not self._answer.is_spared:
            self._state.spawn(self._tell(cut_off), "realtime_truncate")
        else:
            self._settled.set()

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
