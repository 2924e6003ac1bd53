"""`WordsOfCaller`: what the caller has said, on its way into the conversation.

The provider hears by itself, and writes down what it has heard behind the end of the turn. Words that come over the
bot's speech wait for what becomes of them, and those that come behind an interruption for what was heard before it.

The model may have used tools by then. The words stand before these in the conversation: behind their results they would
be a question that nobody has answered, and another session or instance would have it answered by the same tools.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_response_universal import LLMUserAggregator

from piopiy_pipeline.compat.frame_taps import watch_processed, watch_pushes
from piopiy_pipeline.processors.typed_words import is_typed
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.realtime.caller_items import CallerItems
from piopiy_pipeline.session.realtime.realtime_provider import RealtimeProvider
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["BEHIND_CUT_S", "WordsOfCaller"]

BEHIND_CUT_S = 0.15
"""So many seconds behind an interruption the conversation has what was heard: before the words that have cut it off."""


class WordsOfCaller:
    """Watches the user's side of one conversation.

    Args:
        state: The call.
        user: The user's side.
        output: The stage that speaks.
        provider: The model's provider.
        items: Knows which words are of speech that was decided on.
        decides: Whether this side decides on turns by strategies of its own.
        typed: Has the model answer what it has not heard.
    """

    def __init__(
        self,
        state: CallState,
        user: LLMUserAggregator,
        output: BotOutput,
        provider: RealtimeProvider,
        items: CallerItems,
        *,
        decides: bool,
        typed: Callable[[str], None],
    ) -> None:
        self._state = state
        self._user = user
        self._output = output
        self._provider = provider
        self._items = items
        self._decides = decides
        self._typed = typed
        self._timer: asyncio.TimerHandle | None = None
        self._turn_end: list[Any] | None = None  # the last message when their turn was over, if there was one
        self._written = False  # words of that turn are in the conversation
        provider.settle = self.settle
        watch_processed(user, self._words, TranscriptionFrame)
        watch_pushes(user, self._turn_begins, UserStartedSpeakingFrame)
        watch_pushes(user, self._turn_over, UserStoppedSpeakingFrame)
        self._context: Any = user.context
        self._append = self._context.add_message
        self._context.add_message = self._add

    async def _words(self, user: LLMUserAggregator, frame: Frame) -> None:
        """Write into the conversation what the caller has said, as soon as the provider has written it down."""
        if is_typed(frame) and isinstance(frame, TranscriptionFrame):
            if frame.text.strip():
                self._turn_end = None
                self._typed(frame.text)
            return
        if self._decides and not self._items.is_old(frame):
            return  # over the bot's speech: it waits for its turn
        if wait_s := self._provider.words_wait_s:  # more of them come
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._write)
        elif self._output.has_unheard or not self._output.settled:  # an interruption is on its way, perhaps
            self._state.spawn(self._write_behind_cut(), "realtime_words")
        else:
            await user.push_aggregation()

    def _turn_begins(self, _user: Any, _frame: object) -> None:
        if self._written:  # else they come while the next turn is under way
            self._turn_end = None

    def _turn_over(self, _user: Any, _frame: object) -> None:
        self._turn_end, self._written = self._context.get_messages()[-1:], False

    def _add(self, message: Any) -> None:
        """Add a message to the conversation: words of the caller's before the tools that were used to answer them."""
        messages = self._context.get_messages()
        place = len(messages)
        if isinstance(message, dict) and message.get("role") == "user" and self._turn_end is not None:
            self._written = True
            place = _first_tool(messages, self._turn_end)
        if place == len(messages):
            self._append(message)
        else:
            self._context.set_messages([*messages[:place], message, *messages[place:]])

    def _write(self) -> None:
        self._timer = None
        if not self._state.ended:
            self._state.spawn(self._user.push_aggregation(), "realtime_words")

    async def _write_behind_cut(self) -> None:
        await asyncio.sleep(BEHIND_CUT_S)
        await self._user.push_aggregation()

    async def settle(self) -> None:
        """Have what the caller has said in the conversation now, because it is about to be another session's."""
        await self._provider.caller_words()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await self._user.push_aggregation()


def _first_tool(messages: list[Any], behind: list[Any]) -> int:
    """Return the place of the first use of a tool behind a message, or of the end if there is none."""
    known = next((n for n, one in enumerate(messages, 1) if behind and one is behind[0]), None)
    if behind and known is None:  # the conversation is another one
        return len(messages)
    tools = (
        n
        for n, one in enumerate(messages)
        if n >= (known or 0) and isinstance(one, dict) and one.get("tool_calls")
    )
    return next(tools, len(messages))
