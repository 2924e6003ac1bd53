"""`ContextTurns`: what the sides of a context tell of turns, as the call's transcript and checkpoints take it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipecat.frames.frames import Frame, LLMMessagesAppendFrame, UserStoppedSpeakingFrame
from pipecat.processors.aggregators.llm_response_universal import (
    LLMAssistantAggregator,
    LLMUserAggregator,
    UserBackchannelMessage,
)
from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.call import Turn
from piopiy_pipeline.compat.frame_taps import watch_processed, watch_pushes
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.services.realtime_services import is_realtime
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.checkpoints import ConversationSource
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.session.pending_hangup import PendingHangup
from piopiy_pipeline.session.tool_order import ORDERED, ToolOrder
from piopiy_pipeline.text import has_words

__all__ = ["ContextTurns"]


class ContextTurns:
    """Follows the turns of one pipeline, from when it is made.

    Args:
        state: The call.
        pipeline: The pipeline.
        monitor: Is told of turns that are over.
        hangup: Is told when the caller speaks.
        rtvi: Returns the version of RTVI that the client's application speaks.
    """

    def __init__(
        self,
        state: CallState,
        pipeline: CallPipeline,
        monitor: CallMonitor,
        hangup: PendingHangup,
        *,
        rtvi: Callable[[], str | None],
    ) -> None:
        self._state = state
        self._pipeline = pipeline
        self._monitor = monitor
        self._hangup = hangup
        self._stopped_at = float("inf")  # when the caller's turn was over whose words are to come
        user, assistant = pipeline.find(LLMUserAggregator), pipeline.find(LLMAssistantAggregator)
        if isinstance(user, LLMUserAggregator):
            user.add_event_handler("on_user_turn_started", self._user_turn_begins)
            hears = any(is_realtime(pipeline[name]) for name in pipeline.names)
            said = "on_user_turn_message_added" if hears else "on_user_turn_stopped"
            user.add_event_handler(said, self._user_turn)
            if hears:
                # No event: the model is given this frame, and may ask for the end before any handler runs.
                watch_pushes(user, self._user_turn_stops, UserStoppedSpeakingFrame)
            user.add_event_handler("on_user_backchannel", self._backchannel)
            monitor.live.watch_context(user)
        if isinstance(assistant, LLMAssistantAggregator):
            assistant.add_event_handler("on_assistant_turn_stopped", self._bot_turn)
            _keep_tool_order(assistant)
        for side in (user, assistant):
            if isinstance(side, (LLMUserAggregator, LLMAssistantAggregator)):
                watch_processed(side, self._put_in, LLMMessagesAppendFrame)
        aggregator = user if isinstance(user, LLMUserAggregator) else assistant
        if isinstance(aggregator, (LLMUserAggregator, LLMAssistantAggregator)):
            end = pipeline.turn_end
            state.checkpoints.source = ConversationSource(
                messages=aggregator.context.get_messages,
                rtvi=rtvi,
                pauses=lambda: () if end is None else end.policy.pauses.longest_s,
            )

    async def _user_turn_begins(self, user: LLMUserAggregator, strategy: Any) -> None:
        self._hangup.caller_speaks()

    def _user_turn_stops(self, user: LLMUserAggregator, frame: UserStoppedSpeakingFrame) -> None:
        """Take note of the end of a turn that a model hears itself: its words are written down later, perhaps."""
        self._stopped_at = self._state.now()
        self._state.recovery.turn_ended()
        self._hangup.caller_stopped()

    async def _user_turn(self, user: LLMUserAggregator, *details: Any) -> None:
        strategy, message = (
            details[0],
            details[-1],
        )  # words of a model that hears itself come without a strategy
        self._hangup.caller_has_spoken(words=has_words(message.content or ""))
        if message.content:
            late_words = self._stopped_at <= self._state.now()
            self._state.recovery.user_turn(self._state.now(), late_words=late_words)
            if self._monitor.guard is not None:
                self._monitor.guard.turn_over(self._state.now(), self._stopped_at)
            self._stopped_at = float("inf")
            self._monitor.live.turn_over("user")
            turn = Turn("user", message.content, self._state.elapsed_s())
            end, ended_by_it = self._pipeline.turn_end, strategy is self._pipeline.turn_end
            if end is not None and ended_by_it and (last := end.last) is not None:
                self._monitor.live.turn_decided(last)
                turn = replace(turn, turn_wait_s=last.wait_s, turn_reason=last.reason)
            self._state.add_turn(turn)
            self._state.checkpoints.user_turn()

    def _put_in(self, _side: FrameProcessor, _frame: LLMMessagesAppendFrame) -> None:
        """Have the next instance know what was put into the conversation and is not answered: it ends no turn."""
        self._state.checkpoints.part_changed()

    async def _backchannel(self, user: LLMUserAggregator, message: UserBackchannelMessage) -> None:
        self._monitor.live.backchannel()
        at_s = self._state.elapsed_s()
        self._state.add_backchannel(Turn("user", message.content, at_s, backchannel=True))

    async def _bot_turn(self, assistant: LLMAssistantAggregator, message: Any) -> None:
        if message.content:
            self._monitor.live.turn_over("bot")
            at_s = self._state.elapsed_s()
            # In a chat the end of an answer, which a model also tells of one that is cut off, waits for no sound.
            cut_off = message.interrupted or self._state.own_interruption is not None
            cut_off = cut_off and not self._monitor.says  # a greeting is shown whole
            in_part = self._state.recovery.take_broken_off() or cut_off
            self._state.add_turn(Turn("bot", message.content, at_s, interrupted=in_part))
            self._state.checkpoints.bot_turn()


def _keep_tool_order(assistant: LLMAssistantAggregator) -> None:
    """Have the context take the cancellation of a tool that came before the tool's beginning behind it."""
    order = ToolOrder()

    async def processed(stage: FrameProcessor, frame: Frame) -> None:
        for early in order.in_order(frame):
            if early is not frame:
                await stage.queue_frame(early)

    watch_processed(assistant, processed, *ORDERED)
