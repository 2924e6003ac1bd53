"""`ModelRequests`: the one place that knows whether the model is at the conversation as it stands.

Many may ask the model: a turn of the caller, the result of a tool, a note, the retry after a failure, the
author. Each request comes to the model's stage. One for a conversation that is being answered already is made
only once, and news that comes beside an answer waits for the next pause.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple, cast

from loguru import logger
from pipecat.frames.frames import (
    Frame,
    FunctionCallsStartedFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
)
from pipecat.processors.aggregators import async_tool_messages
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMAssistantAggregator, LLMUserAggregator
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.llm_service import LLMService

from piopiy_pipeline.compat.frame_taps import filter_queued, watch_pushes, watch_taken
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.failover.model_switch import ModelSwitch
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.live_events import MODEL_WRITES
from piopiy_pipeline.session.model.text_beside_tool import watch_text_beside_tools
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.text import has_words
from piopiy_pipeline.transports.bot_output import BotOutput

__all__ = ["ModelRequests", "requests_of"]

LONGEST_WAIT_S = 30.0
"""News waits for a pause at most this long, in seconds. Over the caller it is never told."""


class _Digests(NamedTuple):
    """What tells a conversation from what it was before: all of it, and all but what the bot has said."""

    whole: str
    to_answer: str


class ModelRequests:
    """Lets the requests to one model pass, or not.

    A request stands until its answer is in the conversation, is cut off, or has failed (`failed`).

    Args:
        stage: What answers: a model, or a switch of models. Before it runs.
        context: The conversation. Requests with another one, such as a copy with a turn that may not be
            over, pass.
        state: The call.
        monitor: Knows who is heard.
        output: Knows what was not heard yet.
    """

    def __init__(
        self,
        stage: FrameProcessor,
        context: LLMContext,
        state: CallState,
        monitor: CallMonitor,
        output: BotOutput,
    ) -> None:
        self._stage = stage
        self._context = context
        self._state = state
        self._monitor = monitor
        self._output = output
        self._asked: _Digests | None = None  # the conversation that the latest request is about
        self._interrupted = False  # an interruption is on its way to the stage
        self._says_something = False
        self._users_turn = False
        self._news_at: float | None = None
        filter_queued(stage, self._accepts)
        watch_taken(stage, self._on_input, InterruptionFrame, LLMContextFrame)
        watch_pushes(stage, self._on_output, *MODEL_WRITES, FunctionCallsStartedFrame)

    def watch(self, user: LLMUserAggregator) -> None:
        """Know from the user's side of the context whose turn it is."""

        async def begins(_user: LLMUserAggregator, _strategy: Any) -> None:
            self._users_turn = True

        async def is_over(_user: LLMUserAggregator, _strategy: Any, _message: Any) -> None:
            self._users_turn = False

        user.add_event_handler("on_user_turn_started", begins)
        user.add_event_handler("on_user_turn_stopped", is_over)

    @property
    def made(self) -> bool:
        """Whether the model was asked since the last failure or interruption."""
        return self._asked is not None

    @property
    def owed(self) -> bool:
        """Whether there is news that the model has not been asked about."""
        return self._news_at is not None

    @property
    def result_due(self) -> bool:
        """Whether a tool of this turn runs, or its result waits to be in the conversation behind what is heard.

        The model will be asked then.
        """
        under_way = self._state.recovery.tools_running or self._monitor.speaking or self._output.has_unheard
        return under_way and _lacks_result(self._context.get_messages())

    def failed(self) -> None:
        """Note that the latest answer will not be heard to its end: the next request is a new one."""
        self._asked = None

    def answered_ahead(self) -> None:
        """Note that an answer that was begun ahead answers the conversation as it stands."""
        self._asked, self._news_at = _digests(self._context), None

    async def tell_news(self) -> None:
        """Ask the model about news that has waited, if this is a pause. Call this from time to time."""
        if self._news_at is not None and not self._must_wait(self._news_at):
            await self._stage.queue_frame(LLMContextFrame(self._context), FrameDirection.UPSTREAM)

    def _accepts(self, frame: Frame, direction: FrameDirection) -> bool:
        if isinstance(frame, InterruptionFrame):
            self._asked, self._interrupted = None, True
            return True
        if not isinstance(frame, LLMContextFrame) or frame.context is not self._context or frame.speculation:
            return True
        if (held := self._state.held_turns) is not None and not held.model_may_answer(self._is_callers()):
            if direction is FrameDirection.UPSTREAM and self._news_at is None:
                self._news_at = self._state.now()  # told when the turns are the model's again
            return False
        asks = _digests(self._context)
        if self._asked is not None and (
            asks == self._asked
            # What the answer has said is no news. pipecat owes an answer to a result that came while the bot
            # spoke, although somebody else has asked since.
            or (direction is FrameDirection.UPSTREAM and asks.to_answer == self._asked.to_answer)
        ):
            logger.debug("the model is asked once for the same")
            return False
        if direction is FrameDirection.UPSTREAM and self._is_news():
            since = self._state.now() if self._news_at is None else self._news_at
            if self._must_wait(since):
                self._news_at = since
                return False
        self._news_at = None
        self._asked = asks
        return True

    def _is_news(self) -> bool:
        """Whether what came last is from nobody who speaks: a tool of an earlier turn, or a note."""
        messages: list[Any] = self._context.get_messages()
        return bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "developer"

    def _is_callers(self) -> bool:
        """Whether what came last is the caller's."""
        messages: list[Any] = self._context.get_messages()
        return bool(messages) and isinstance(messages[-1], dict) and messages[-1].get("role") == "user"

    def _must_wait(self, since: float) -> bool:
        held = self._state.held_turns
        if held is not None and not held.model_may_answer(self._is_callers()):
            return True
        guard, recovery = self._monitor.guard, self._state.recovery
        if self._users_turn or self._monitor.unheard_words or (guard is not None and guard.caller_speaks):
            return True
        on_its_way = recovery.answer_open or recovery.sentence_announced or self._state.utterances.pending
        heard = self._monitor.speaking or self._output.has_unheard
        return (on_its_way or heard) and self._state.now() - since < LONGEST_WAIT_S

    def _on_input(self, stage: FrameProcessor, frame: Frame) -> None:
        # An interruption overtakes requests that wait for the stage, and undoes only what the stage is at.
        match frame:
            case InterruptionFrame():
                self._interrupted = False
            case LLMContextFrame() if frame.context is self._context and not frame.speculation:
                if self._asked is None and not self._interrupted:
                    self._asked = _digests(self._context)

    def _on_output(self, stage: FrameProcessor, frame: Frame) -> None:
        match frame:
            case LLMFullResponseStartFrame():
                self._says_something = False
            case LLMTextFrame() if has_words(frame.text):
                self._says_something = True
            case FunctionCallsStartedFrame():
                self._says_something = True
            case LLMFullResponseEndFrame() if not self._says_something:
                self._asked = None  # nothing comes into the conversation


def requests_of(
    pipeline: CallPipeline, state: CallState, monitor: CallMonitor, output: BotOutput
) -> ModelRequests | None:
    """Return what sees to it that each conversation is answered once, if one model answers it."""
    user, assistant = pipeline.find(LLMUserAggregator), pipeline.find(LLMAssistantAggregator)
    stages = [pipeline[name] for name in pipeline.names]
    models = [stage for stage in stages if isinstance(stage, (LLMService, ModelSwitch))]
    if len(models) != 1 or not isinstance(assistant, LLMAssistantAggregator):
        return None
    requests = ModelRequests(models[0], assistant.context, state, monitor, output)
    watch_text_beside_tools(models[0], state)
    if isinstance(user, LLMUserAggregator):
        requests.watch(user)
    return requests


def _digests(context: LLMContext) -> _Digests:
    messages: list[Any] = context.get_messages()
    to_answer = [one for one in messages if not _is_said(one)]
    return _Digests(_digest(messages), _digest(to_answer))


def _lacks_result(messages: list[Any]) -> bool:
    """Whether a tool that was used since the caller's last words has no result."""
    for message in reversed(messages):
        if not isinstance(message, dict) or message.get("role") == "user":
            return False
        if message.get("role") == "tool":
            payload = async_tool_messages.parse_message(cast(Any, message))
            if message.get("content") == "IN_PROGRESS" or (payload is not None and payload.kind == "started"):
                return True
    return False


def _is_said(message: Any) -> bool:
    """Whether these are words of the bot's."""
    return isinstance(message, dict) and message.get("role") == "assistant" and not message.get("tool_calls")


def _digest(messages: list[Any]) -> str:
    text = json.dumps(messages, default=repr, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
