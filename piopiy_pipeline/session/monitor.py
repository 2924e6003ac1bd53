"""What a session sees of its chain: `CallMonitor` watches the stage that speaks, and keeps the books."""

from __future__ import annotations

import asyncio
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
from piopiy_pipeline.session.call import Call
from piopiy_pipeline.session.live_events import LiveEvents
from piopiy_pipeline.session.rtvi import RtviClient
from piopiy_pipeline.transports.frames import SpeechMarkFrame

__all__ = ["CallMonitor", "arguments_of"]

CANCELLED = "CANCELLED"
"""The result of a tool that was cut off, as pipecat writes it into the context."""

_TOLD_TO_CLIENTS = (
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
"""What has a meaning in RTVI and is seen at the end of the chain. What the model writes is told from there."""


class CallMonitor:
    """Sees what reaches the end of the chain (`SpeechMonitor`), and keeps the books of the call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.spoke_at = call._now()
        self.speaking = False
        self.live = LiveEvents(call._tell_live, call._now, self.marked)
        """What is told of the conversation while it goes on."""
        self._rtvi: RtviClient | None = None
        self.interruption = asyncio.Event()
        """Set when an interruption has come down the whole chain; cleared by whoever waits for one."""
        self._see: dict[type[Frame], Callable[[Any, float], None]] = {
            LLMFullResponseStartFrame: lambda _, now: call._care.response_started(now),
            LLMFullResponseEndFrame: lambda _, now: call._care.response_ended(now),
            InterruptionFrame: self._interrupted,
            FunctionCallInProgressFrame: self._tool_started,
            FunctionCallResultFrame: self._tool_result,
            FunctionCallCancelFrame: self._tool_cancelled,
            AggregatedTextFrame: self._sentence,
            SpeechMarkFrame: lambda frame, _: call._lines.made(frame.number),
            TTSTextFrame: self._activity,
            InputDTMFFrame: self._activity,
            UserSpeakingFrame: self._activity,
            UserStartedSpeakingFrame: self._activity,
            UserStoppedSpeakingFrame: self._activity,
            VADUserStartedSpeakingFrame: self._activity,
            VADUserStoppedSpeakingFrame: self._activity,
        }

    def tell_client(self, client: RtviClient) -> None:
        """From now on, a client that speaks RTVI is told what happens."""
        self._rtvi = client
        self.live.pass_on = client.saw

    def frame_arrived(self, frame: Frame) -> None:
        see = self._see.get(type(frame))
        if see is not None:
            see(frame, self._call._now())
        if self._rtvi is not None and isinstance(frame, _TOLD_TO_CLIENTS):
            self._rtvi.saw(frame)

    def audio_arrived(self) -> None:
        now = self._call._now()
        self.spoke_at = now
        self._call._care.progressed(now)
        self.live.audio_arrived()

    def speech_progressed(self, speaking: bool) -> None:
        now = self._call._now()
        self.spoke_at = now
        self.speaking = speaking
        self._call._care.progressed(now)
        self.live.speech_progressed(speaking)

    def text_heard(self, frame: AggregatedTextFrame | AggregatedTextProgressFrame) -> None:
        if isinstance(frame, TTSTextFrame):
            self.live.heard(frame)
        if self._rtvi is not None:
            self._rtvi.saw(frame)

    def bot_spoke(self, speaks: bool) -> None:
        if self._rtvi is not None:
            self._rtvi.saw(BotStartedSpeakingFrame() if speaks else BotStoppedSpeakingFrame())

    def sentence_progressed(self, text: str) -> None:
        self.live.hearing(text)

    def marked(self, what: str) -> None:
        """``transcript`` or ``llm_token``: a moment of an answer that nothing at the end of the chain tells."""

    def mark_heard(self, number: int) -> None:
        self._call._lines.heard(number)

    def frames_dropped(self, frames: list[Frame]) -> None:
        self._call._lines.cut_off()

    def _activity(self, frame: Frame, now: float) -> None:
        self.spoke_at = now

    def _interrupted(self, frame: Frame, now: float) -> None:
        self.interruption.set()
        self._call._care.interrupted(now)
        self._call._lines.cut_off()

    def _sentence(self, frame: AggregatedTextFrame, now: float) -> None:
        if frame.will_be_spoken:
            self._call._care.text_announced(now)

    def _tool_started(self, frame: FunctionCallInProgressFrame, now: float) -> None:
        self.spoke_at = now
        self._call._care.tool_started(frame.tool_call_id, now)
        arguments = arguments_of(frame)
        self.live.tool_started(frame.tool_call_id, frame.function_name, arguments)
        self._call._events.emit("tool", ToolUse(frame.function_name, arguments))

    def _tool_result(self, frame: FunctionCallResultFrame, now: float) -> None:
        self.spoke_at = now
        self._call._care.tool_ended(frame.tool_call_id, now)
        if frame.properties is None or frame.properties.is_final:  # another result follows otherwise
            self.live.tool_ended(frame.tool_call_id, frame.function_name, frame.result)
        use = ToolUse(frame.function_name, arguments_of(frame), frame.result)
        self._call._events.emit("tool", use)

    def _tool_cancelled(self, frame: FunctionCallCancelFrame, now: float) -> None:
        self._call._care.tool_ended(frame.tool_call_id, now)
        self.live.tool_ended(frame.tool_call_id, frame.function_name, CANCELLED)


def arguments_of(frame: FunctionCallInProgressFrame | FunctionCallResultFrame) -> dict[str, Any]:
    """A model's arguments should be an object; what else it writes comes as ``{"value": ...}``."""
    arguments: Any = frame.arguments
    if isinstance(arguments, Mapping):
        return dict(arguments)
    return {} if arguments is None else {"value": arguments}
