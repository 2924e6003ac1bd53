"""`WordsOfCaller`: what the caller has said, on its way into the conversation.

The provider hears by itself, and writes down what it has heard behind the end of the turn. Words that come over the
bot's speech wait for what becomes of them, and those that come behind an interruption for what was heard before it.

The model may have answered or used tools by then. The words stand before that in the conversation: behind it they would
be a question that nobody has answered, and another session or instance would have it answered once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from pipecat.frames.frames import (
    Frame,
    LLMFullResponseStartFrame,
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
LATEST_S = 5.0
"""Words that come later than this behind the end of a turn, and in the next one, are of the next one, in seconds."""


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
        self._over_at: float | None = None  # when their turn was over, whose words may be to come
        self._written = False  # words of that turn are in the conversation
        self._speaks = False  # the next turn is under way
        self._answers = False  # what the caller hears of the bot was begun behind it
        self._answer: Any = None  # the first message behind it
        provider.settle = self.settle
        watch_processed(user, self._words, TranscriptionFrame)
        watch_pushes(user, self._turn_begins, UserStartedSpeakingFrame)
        watch_pushes(user, self._turn_over, UserStoppedSpeakingFrame)
        watch_pushes(output, self._answer_begins, LLMFullResponseStartFrame)
        self._context: Any = user.context
        self._append = self._context.add_message
        self._context.add_message = self._add

    async def _words(self, user: LLMUserAggregator, frame: Frame) -> None:
        """Write into the conversation what the caller has said, as soon as the provider has written it down."""
        if is_typed(frame) and isinstance(frame, TranscriptionFrame):
            if frame.text.strip():
                self._over_at = None
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
        self._speaks = True
        # Words that are not written yet come while the next turn is under way.
        if self._written or (self._over_at is not None and self._state.now() > self._over_at + LATEST_S):
            self._over_at = None

    def _turn_over(self, _user: Any, _frame: object) -> None:
        self._over_at = self._state.now()
        self._written = self._speaks = self._answers = False
        self._answer = None

    def _answer_begins(self, _output: Any, _frame: object) -> None:
        self._answers = True

    def _add(self, message: Any) -> None:
        """Add a message to the conversation: words of the caller's before what has answered them."""
        messages = self._context.get_messages()
        place = len(messages)
        role = message.get("role") if isinstance(message, dict) else None
        if role == "user" and self._over_at is not None:
            self._written = True
            place = next((n for n, one in enumerate(messages) if one is self._answer), place)
            if self._speaks:  # what comes now is of the next turn
                self._over_at = None
        elif role == "assistant" and self._answer is None and (self._answers or message.get("tool_calls")):
            self._answer = message
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
