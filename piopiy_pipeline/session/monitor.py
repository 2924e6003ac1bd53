"""What a session sees of its chain: `CallMonitor` watches the stage that speaks, and keeps the books."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TTSTextFrame,
    UserSpeakingFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from piopiy_pipeline.call import ToolUse
from piopiy_pipeline.session.handle import Call
from piopiy_pipeline.transports.frames import SpeechMarkFrame

__all__ = ["CallMonitor", "arguments_of"]


class CallMonitor:
    """Sees what reaches the end of the chain (`SpeechMonitor`), and keeps the books of the call."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.spoke_at = call._now()
        self.speaking = False
        self.interruption = asyncio.Event()
        """Set when an interruption has come down the whole chain; cleared by whoever waits for one."""
        self._see: dict[type[Frame], Callable[[Any, float], None]] = {
            LLMFullResponseStartFrame: lambda _, now: call._care.response_started(now),
            LLMFullResponseEndFrame: lambda _, now: call._care.response_ended(now),
            InterruptionFrame: self._interrupted,
            FunctionCallInProgressFrame: self._tool_started,
            FunctionCallResultFrame: self._tool_result,
            FunctionCallCancelFrame: lambda frame, now: call._care.tool_ended(frame.tool_call_id, now),
            AggregatedTextFrame: self._sentence,
            SpeechMarkFrame: lambda frame, _: call._mark_made(frame.number),
            TTSTextFrame: self._activity,
            UserSpeakingFrame: self._activity,
            UserStartedSpeakingFrame: self._activity,
            UserStoppedSpeakingFrame: self._activity,
            VADUserStartedSpeakingFrame: self._activity,
            VADUserStoppedSpeakingFrame: self._activity,
        }

    def frame_arrived(self, frame: Frame) -> None:
        see = self._see.get(type(frame))
        if see is not None:
            see(frame, self._call._now())

    def audio_arrived(self) -> None:
        now = self._call._now()
        self.spoke_at = now
        self._call._care.progressed(now)

    def speech_progressed(self, speaking: bool) -> None:
        now = self._call._now()
        self.spoke_at = now
        self.speaking = speaking
        self._call._care.progressed(now)

    def mark_heard(self, number: int) -> None:
        self._call._mark_heard(number)

    def frames_dropped(self, frames: list[Frame]) -> None:
        self._call._cut_off()

    def _activity(self, frame: Frame, now: float) -> None:
        self.spoke_at = now

    def _interrupted(self, frame: Frame, now: float) -> None:
        self.interruption.set()
        self._call._care.interrupted(now)
        self._call._cut_off()

    def _sentence(self, frame: AggregatedTextFrame, now: float) -> None:
        if frame.will_be_spoken:
            self._call._care.text_announced(now)

    def _tool_started(self, frame: FunctionCallInProgressFrame, now: float) -> None:
        self.spoke_at = now
        self._call._care.tool_started(frame.tool_call_id, now)
        arguments = arguments_of(frame)
        self._call._tell("tool", {"name": frame.function_name, "arguments": arguments})
        self._call._events.emit("tool", ToolUse(frame.function_name, arguments))

    def _tool_result(self, frame: FunctionCallResultFrame, now: float) -> None:
        self.spoke_at = now
        self._call._care.tool_ended(frame.tool_call_id, now)
        use = ToolUse(frame.function_name, arguments_of(frame), frame.result)
        self._call._events.emit("tool", use)


def arguments_of(frame: FunctionCallInProgressFrame | FunctionCallResultFrame) -> dict[str, Any]:
    """A model's arguments should be an object; what else it writes comes as ``{"value": ...}``."""
    arguments: Any = frame.arguments
    if isinstance(arguments, Mapping):
        return dict(arguments)
    return {} if arguments is None else {"value": arguments}
