"""The log of a simulated call: who writes what into it, and how it becomes the call's events.

Times are kept as the loop's and become seconds since the answer when the call is over. What is
written is plain JSON without anything that differs from run to run, such as the numbers that
pipecat gives to its objects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    AggregatedTextFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from piopiy_pipeline.call import CallEnd, CallInfo, ContextSummary, FlowStep, HandOff, LanguageChange, Turn
from piopiy_pipeline.session import Call, CallState
from piopiy_pipeline.session.events import CallError, CollectionEvent
from piopiy_pipeline.session.flow.flow_graph import FlowGraph
from piopiy_pipeline.session.monitor import CANCELLED, CallMonitor, arguments_of
from piopiy_pipeline.testing.report.call_events import Event

__all__ = ["AgentLog", "EventLog", "WatchedMonitor"]

_OBJECT_NUMBER = re.compile(r"(?<=\w)#\d+|\bat 0x[0-9a-f]+")
MAX_EVENTS = 100_000
"""A call that writes more than this goes round in circles; of the rest only the end is kept."""


class EventLog:
    """Records what happens in one call, by the clock `now`."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.answered_at: float | None = None
        self.end: CallEnd | None = None
        self.ended_at: float | None = None
        self.user_turn_at = float("-inf")
        """When the caller's last turn was over."""
        self._entries: list[tuple[float, int, str, dict[str, Any]]] = []
        self.flow: FlowGraph | None = None
        """The flow that leads the call, as soon as it has begun."""
        self._places = 0
        self._full = False
        self._tools = 0
        self._hears: list[Callable[[str, dict[str, Any]], None]] = []

    def place(self) -> int:
        """Return a place among the events of this moment, for one that is written down later."""
        self._places += 1
        return self._places

    def add(self, kind: str, /, at: float | None = None, place: int | None = None, **data: Any) -> None:
        """Add an event.

        Args:
            kind: What happened.
            at: When it happened, in seconds of the log's clock. None: now.
            place: Its place among the events of the same time, from `place`. None: after those that are
                there.
            data: What the event says.
        """
        data = _plain(data)
        if len(self._entries) < MAX_EVENTS or kind == "end":
            self._entries.append(
                (self.now() if at is None else at, self.place() if place is None else place, kind, data)
            )
        elif not self._full:
            self._full = True
            logger.warning("the call has more than {} events: no more are kept but its end", MAX_EVENTS)
        for hear in self._hears:
            hear(kind, data)

    def next_tool(self) -> int:
        """Return the number of the next use of a tool."""
        self._tools += 1
        return self._tools

    def ended(self, end: CallEnd) -> None:
        """Keep how the call has ended, and when."""
        self.end, self.ended_at = end, self.now()

    def listen(self, hear: Callable[[str, dict[str, Any]], None]) -> None:
        """Tell `hear(kind, data)` of everything that is written from now on."""
        self._hears.append(hear)

    def events(self) -> list[Event]:
        """Return all of them, in the order of their times, those of the same time as they happened."""
        zero = self.zero
        return [
            Event(round(at - zero, 6), kind, data) for at, _, kind, data in sorted(self._entries, key=_order)
        ]

    @property
    def zero(self) -> float:
        """When the call was answered; without an answer, when the first thing happened. In seconds of the
        clock.
        """
        if self.answered_at is not None:
            return self.answered_at
        return min((entry[0] for entry in self._entries), default=self.now())


class AgentLog:
    """What one agent writes into the log of a call, until it is lost.

    Args:
        log: The log of the call.
    """

    def __init__(self, log: EventLog) -> None:
        self.lost = False
        """Whether nothing of this agent counts any more."""
        self._log = log
        self._tools: dict[str, int] = {}  # a provider's ids differ from run to run: they are counted

    def add(self, kind: str, /, **data: Any) -> None:
        """Add an event, unless the agent is lost."""
        if not self.lost:
            self._log.add(kind, **data)

    def tool_number(self, tool_call_id: str) -> int:
        """Return the number of this use of a tool in the call, from 1."""
        if tool_call_id not in self._tools:
            self._tools[tool_call_id] = self._log.next_tool()
        return self._tools[tool_call_id]

    def follow(self, call: Call) -> None:
        """Write down what `call` tells its author."""
        call.on("answered", self._answered)
        call.on("user_turn", self._user_turn)
        call.on("backchannel", self._backchannel)
        call.on("bot_turn", self._bot_turn)
        call.on("flow", lambda step: self._flow(call, step))
        call.on("hand_off", self._hand_off)
        call.on("summary", self._summary)
        call.on("language", self._language)
        call.on("collection", self._collection)
        call.on("error", self._error)
        call.on("end", self._ended)

    def _answered(self, info: CallInfo) -> None:
        if self._log.answered_at is None:
            self._log.answered_at = self._log.now()
            self.add("answered")
        else:
            self.add("agent_resumed")

    def _user_turn(self, turn: Turn) -> None:
        self._log.user_turn_at = self._log.now()
        self.add("user_turn", text=turn.text)

    def _backchannel(self, turn: Turn) -> None:
        self.add("backchannel", text=turn.text)

    def _bot_turn(self, turn: Turn) -> None:
        self.add("bot_turn", text=turn.text, interrupted=turn.interrupted)

    def _flow(self, call: Call, step: FlowStep) -> None:
        self._log.flow = call.flow_graph
        self.add("flow", node=step.node, before=step.before, function=step.function)

    def _summary(self, summary: ContextSummary) -> None:
        self.add("summary", messages=summary.messages, text=summary.text)

    def _language(self, change: LanguageChange) -> None:
        self.add("language", language=change.language, before=change.before, how=change.how)

    def _hand_off(self, change: HandOff) -> None:
        self.add("hand_off", agent=change.agent, before=change.before, context=change.context)

    def _collection(self, event: CollectionEvent) -> None:
        self.add("collection", **asdict(event))

    def _error(self, error: CallError) -> None:
        self.add("error", stage=error.stage, message=error.message)

    def _ended(self, end: CallEnd) -> None:
        self._log.ended(end)
        self.add("end", reason=end.reason.value, detail=end.detail)


class WatchedMonitor(CallMonitor):
    """The call's own monitor, that writes into a log what passes the end of the chain."""

    def __init__(self, state: CallState, log: AgentLog) -> None:
        super().__init__(state)
        self._log = log
        self._told_text = self._told_speech = False
        self._kinds: dict[type[Frame], Callable[[Any], None]] = {
            VADUserStartedSpeakingFrame: lambda _: log.add("vad_started"),
            VADUserStoppedSpeakingFrame: lambda _: log.add("vad_stopped"),
            LLMFullResponseStartFrame: self._response,
            AggregatedTextFrame: self._text,
            InterruptionFrame: self._cut,
            FunctionCallInProgressFrame: self._tool,
            FunctionCallResultFrame: self._result,
            FunctionCallCancelFrame: self._cancelled,
        }

    def frame_arrived(self, frame: Frame) -> None:
        tell = self._kinds.get(type(frame))
        if tell is not None:
            tell(frame)
        super().frame_arrived(frame)

    def barge_in_decided(self, verdict: str, reason: str, held_s: float) -> None:
        self._log.add("barge_in", verdict=verdict, reason=reason)
        super().barge_in_decided(verdict, reason, held_s)

    def on_answer_mark(self, mark: str) -> None:
        self._log.add(mark)

    def audio_arrived(self) -> None:
        if not self._told_speech:
            self._told_speech = True
            self._log.add("tts_started")
        super().audio_arrived()

    def _response(self, frame: LLMFullResponseStartFrame) -> None:
        self._told_text = self._told_speech = False
        self._log.add("llm_started")

    def _text(self, frame: AggregatedTextFrame) -> None:
        if frame.will_be_spoken and not self._told_text:
            self._told_text = True
            self._told_speech = False
            self._log.add("llm_text", text=frame.text)

    def _cut(self, frame: InterruptionFrame) -> None:
        self._told_text = self._told_speech = False

    def _tool(self, frame: FunctionCallInProgressFrame) -> None:
        number = self._log.tool_number(frame.tool_call_id)
        self._log.add("tool", name=frame.function_name, arguments=arguments_of(frame), number=number)

    def _cancelled(self, frame: FunctionCallCancelFrame) -> None:
        number = self._log.tool_number(frame.tool_call_id)
        self._log.add("tool_result", name=frame.function_name, result=CANCELLED, number=number)

    def _result(self, frame: FunctionCallResultFrame) -> None:
        number = self._log.tool_number(frame.tool_call_id)
        self._log.add("tool_result", name=frame.function_name, result=frame.result, number=number)


def _order(entry: tuple[float, int, str, dict[str, Any]]) -> tuple[float, int]:
    return entry[:2]


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as JSON has it, without what changes from run to run."""
    plain: dict[str, Any] = json.loads(json.dumps(data, default=repr))
    return {
        key: _OBJECT_NUMBER.sub("", value) if isinstance(value, str) else value
        for key, value in plain.items()
    }
