"""`CallMonitor`: what the session sees at the end of the pipeline, and what it notes in the state of the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    AggregatedTextProgressFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallsStartedFrame,
    InputDTMFFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    MetricsFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserBackchannelFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserSpeakingFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.frameworks.rtvi.frames import (
    RTVIConfigureObserverFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICommandFrame,
)

from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.session.call_state import CallState
from piopiy_pipeline.session.live_events import LiveEvents
from piopiy_pipeline.session.rtvi.rtvi_client import RtviClient
from piopiy_pipeline.session.silence_guard import SilenceGuard
from piopiy_pipeline.session.tool_order import ToolOrder
from piopiy_pipeline.text import has_words, sentence_ends
from piopiy_pipeline.transports.frames import SpeechMarkFrame, as_written

__all__ = ["CANCELLED", "CallMonitor", "arguments_of"]

CANCELLED = "CANCELLED"
"""The result of a tool that was cancelled, as pipecat writes it into the context."""

_RTVI_FRAMES = (
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserBackchannelFrame,
    InterruptionFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    MetricsFrame,
    FunctionCallsStartedFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    FunctionCallCancelFrame,
    RTVIConfigureObserverFrame,
    RTVIServerMessageFrame,
    RTVIServerResponseFrame,
    RTVIUICommandFrame,
)
"""Frames with a meaning in RTVI that are seen at the end of the pipeline. `LiveEvents` sees what the model writes."""


class CallMonitor:
    """A `SpeechMonitor`: sees what reaches the end of the pipeline, and updates the state of the call."""

    def __init__(self, state: CallState) -> None:
        self._state = state
        self.spoke_at = state.now()
        """When either side was last heard, by the loop's clock in seconds. Fillers do not count."""
        self.progressed_at = state.now()
        """When speech of the bot, fillers included, was last made or heard."""
        self.sentence_heard_at = float("-inf")
        """When the caller had last heard a sentence of the bot to its end."""
        self.partly_heard = ""
        """What the caller has heard, by an estimate, of a text whose words have no times."""
        self.speaking = False
        """Whether the caller hears the bot, as far as the playout has reported."""
        self.live = LiveEvents(state.report_live, state.now, self.on_answer_mark)
        """Reports the conversation while it goes on."""
        self.guard: SilenceGuard | None = None
        """Is told who is heard, so that nobody waits in silence."""
        self.filling = 0
        """How many sounds are under way that are no part of an answer, only a sign that one is to come."""
        self.filler_text = ""
        """The sentence that bridges a silence."""
        self.caller_spoke_at = float("-inf")
        """When the caller was last heard, or has pressed a key."""
        self.caller_began_at = float("-inf")
        """When the VAD has heard the caller begin to speak."""
        self.users_turn = False
        """Whether the caller has begun a turn that is not in the context yet."""
        self.unheard_words = False
        """Whether the caller has spoken for some time, and not a word has come from the STT yet."""
        self.owed_final = False
        """Whether the caller has stopped, and the STT is waited for."""
        self._tool_order = ToolOrder()
        self._rtvi: RtviClient | None = None
        self._handlers: dict[type[Frame], Callable[[Any, float], None]] = {
            LLMFullResponseStartFrame: lambda frame, now: state.recovery.response_started(now, frame.id),
            LLMFullResponseEndFrame: lambda frame, now: state.recovery.response_ended(now, frame.id),
            InterruptionFrame: self._interrupted,
            FunctionCallInProgressFrame: self._tool_started,
            FunctionCallResultFrame: self._tool_result,
            FunctionCallCancelFrame: self._tool_cancelled,
            AggregatedTextFrame: self._sentence,
            SpeechMarkFrame: lambda frame, _: state.utterances.synthesised(frame.number),
            TTSTextFrame: self._activity,
            InputDTMFFrame: self._caller_activity,
            UserSpeakingFrame: self._caller_activity,
            UserStartedSpeakingFrame: self._turn_began,
            UserStoppedSpeakingFrame: self._turn_over,
            VADUserStartedSpeakingFrame: self._caller_began,
            VADUserStoppedSpeakingFrame: self._caller_stopped,
        }
        self.says = False
        """Whether what was shown last in a text chat is a text that no model writes: it is shown whole."""
        self._beside = ""  # what was shown of a text that is no part of the conversation
        self._shows = self.live.shows = state.info.kind == "text"
        if self._shows:
            self._handlers |= {
                LLMFullResponseStartFrame: self._writes,
                LLMFullResponseEndFrame: self._has_written,
                TTSStartedFrame: self._begins_to_say,
            }

    def serve_rtvi(self, client: RtviClient) -> None:
        """Give what happens from now on to a client that speaks RTVI."""
        self._rtvi = client
        self.live.pass_on = client.on_frame

    def frame_arrived(self, frame: Frame) -> None:
        for one in self._tool_order.in_order(frame):
            self._frame_counts(one)

    def _frame_counts(self, frame: Frame) -> None:
        handler = self._handlers.get(type(frame))
        if handler is not None:
            handler(frame, self._state.now())
        if self._rtvi is not None and isinstance(frame, _RTVI_FRAMES):
            self._rtvi.on_frame(frame)
        if self._beside and isinstance(frame, (TTSStoppedFrame, LLMFullResponseEndFrame)):
            self._beside_over()

    def audio_arrived(self) -> None:
        self._progressed()
        if not self.filling:
            self.live.audio_arrived()

    def speech_progressed(self, speaking: bool) -> None:
        heard, self.speaking = speaking or self.speaking, speaking
        self._progressed()
        if self.guard is not None and heard:
            self.guard.heard(self._state.now(), filling=bool(self.filling))
        if not self.filling:
            self.live.speech_progressed(speaking)

    def _progressed(self) -> None:
        now = self.progressed_at = self._state.now()
        if not self.filling:
            self.spoke_at = now
            self._state.recovery.progressed(now)

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None:
        if isinstance(frame, TTSTextFrame):
            if self._shows and not frame.append_to_context:
                self._beside += frame.text
            self.live.on_heard(frame)
            if self.filling and frame.append_to_context:  # a sentence that bridges a silence came too late
                self._state.recovery.progressed(self._state.now())
            if (held := self._state.held_turns) is not None:
                held.text_heard(frame.raw_text or frame.text)
            if sentence_ends(frame.text):  # a sentence, or its last word where words have times
                self.sentence_heard_at = self._state.now()
        if self._rtvi is None:
            return
        shown = as_written(frame) if isinstance(frame, TTSTextFrame) else frame
        if shown is not None:
            self._rtvi.on_frame(shown)

    def said_beside(self, text: str) -> None:
        """Take note of a whole text that was shown in a text chat, and is no part of the conversation."""
        if self._rtvi is not None:
            self._rtvi.show_turn("bot", {"text": text}, recorded=False)

    def _writes(self, frame: LLMFullResponseStartFrame, now: float) -> None:
        self.says = False
        self._state.recovery.response_started(now, frame.id)
        if self._rtvi is not None:
            self._rtvi.on_frame(frame)

    def _has_written(self, frame: LLMFullResponseEndFrame, now: float) -> None:
        self._state.recovery.response_ended(now, frame.id)
        if self._rtvi is not None:
            self._rtvi.on_frame(frame)

    def _begins_to_say(self, frame: TTSStartedFrame, now: float) -> None:
        self.says = True

    def _beside_over(self) -> None:
        text, self._beside = self._beside.strip(), ""
        if text:
            self.said_beside(text)

    def bot_spoke(self, speaks: bool) -> None:
        if self._rtvi is not None:
            self._rtvi.on_frame(BotStartedSpeakingFrame() if speaks else BotStoppedSpeakingFrame())

    def sentence_progressed(self, text: str) -> None:
        self.partly_heard = text
        self.live.on_partly_heard(text)
        if (held := self._state.held_turns) is not None:
            held.partly_heard(text)

    def on_answer_mark(self, mark: str) -> None:
        """Note a moment of an answer that nothing at the end of the pipeline shows: ``transcript`` or
        ``llm_token``.
        """

    def mark_heard(self, number: int) -> None:
        self._state.utterances.heard(number)

    def barge_in_decided(self, verdict: str, reason: str, held_s: float) -> None:
        self.live.barge_in(verdict, reason, held_s)

    def frames_dropped(self, frames: list[Frame]) -> None:
        self._state.utterances.cut_off()

    def _activity(self, frame: Frame, now: float) -> None:
        self.spoke_at = now

    def _caller_activity(self, frame: Frame, now: float) -> None:
        self.spoke_at = self.caller_spoke_at = now

    def _turn_began(self, frame: Frame, now: float) -> None:
        self._caller_activity(frame, now)
        self.users_turn = True
        if self.caller_began_at == float("-inf"):  # no VAD of ours hears the caller
            self._speech_began()

    def _turn_over(self, frame: Frame, now: float) -> None:
        self._caller_activity(frame, now)
        self.users_turn = False

    def _caller_began(self, frame: Frame, now: float) -> None:
        self._caller_activity(frame, now)
        self.caller_began_at = now
        self._speech_began()
        if self.guard is not None:
            self.guard.caller_began(now)

    def _speech_began(self) -> None:
        if (held := self._state.held_turns) is not None:
            held.caller_began()

    def _caller_stopped(self, frame: Frame, now: float) -> None:
        self._caller_activity(frame, now)
        if self.guard is not None:
            self.guard.caller_stopped(now)

    def _interrupted(self, frame: Frame, now: float) -> None:
        if frame is self._state.own_interruption:
            self._state.own_interruption = None
            self._state.interruption_passed.set()
        self._state.recovery.interrupted(now)
        self._beside_over()
        self._state.utterances.cut_off()

    def _sentence(self, frame: AggregatedTextFrame, now: float) -> None:
        if not (frame.will_be_spoken and has_words(frame.text)):
            return
        if not (self.filling and frame.text.strip() == self.filler_text):
            self._state.recovery.text_announced(now)

    def _tool_started(self, frame: FunctionCallInProgressFrame, now: float) -> None:
        self.spoke_at = now
        self._state.recovery.tool_started(frame.tool_call_id, now, frame.function_name)
        if self.guard is not None:
            self.guard.tool_started(frame.tool_call_id, now)
        arguments = arguments_of(frame)
        self.live.tool_started(frame.tool_call_id, frame.function_name, arguments)
        number = self.live.tool_number(frame.tool_call_id)
        self._state.events.emit("tool", ToolUse(frame.function_name, arguments, number=number))

    def _tool_result(self, frame: FunctionCallResultFrame, now: float) -> None:
        self.spoke_at = now
        if frame.properties is None or frame.properties.is_final:  # another result follows otherwise
            self._tool_over(frame.tool_call_id, now)
            self.live.tool_ended(frame.tool_call_id, frame.function_name, frame.result)
        number = self.live.tool_number(frame.tool_call_id)
        use = ToolUse(frame.function_name, arguments_of(frame), frame.result, number=number, returned=True)
        self._state.events.emit("tool", use)

    def _tool_over(self, call: str, now: float) -> None:
        self._state.recovery.tool_ended(call, now)
        if self.guard is not None:
            self.guard.tool_ended(call)

    def _tool_cancelled(self, frame: FunctionCallCancelFrame, now: float) -> None:
        self._tool_over(frame.tool_call_id, now)
        self.live.tool_ended(frame.tool_call_id, frame.function_name, CANCELLED)


def arguments_of(frame: FunctionCallInProgressFrame | FunctionCallResultFrame) -> dict[str, Any]:
    """Return the arguments of a tool as an object. Anything else that a model writes becomes ``{"value":
    ...}``.
    """
    arguments: Any = frame.arguments
    if isinstance(arguments, Mapping):
        return dict(arguments)
    return {} if arguments is None else {"value": arguments}
