"""`CallMetrics`: counts what the event bus says of calls. No I/O."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.gateway.metrics.line_counts import LineCounts
from piopiy_pipeline.latency import PARTS
from piopiy_pipeline.metrics.registry import OTHER, MetricRegistry

__all__ = ["CallMetrics"]

STAGES = frozenset({"stt", "llm", "tts", "checkpoint", "event loop"})
"""Stages whose errors are told apart. Authors name others, and tools, as they like."""
VERDICTS = frozenset({"interrupt", "resume"})
MAX_AMOUNT = 1e9
"""More than that no agent can mean."""
_P = "piopiy_gateway_"


@dataclass(slots=True)
class _Seen:
    """What was counted of a call under way."""

    agent_id: str
    instance_id: str | None = None
    losses: int = 0
    answered: bool = False


class CallMetrics:
    """Subscribes to the event bus of a gateway.

    Args:
        registry: Where everything is counted.
        lines: Counts the packets of lines.
    """

    def __init__(self, registry: MetricRegistry, lines: LineCounts) -> None:
        self._registry = registry
        self._lines = lines
        self._calls: dict[str, _Seen] = {}

    def on_event(self, event: BusEvent) -> None:
        """Count an event of the bus. It must get all of them, in order."""
        if isinstance(event, CallChanged):
            self._changed(event.call)
        elif not event.partial and (call := self._calls.get(event.call_id)) is not None:
            self._said(call.agent_id, event)

    def _changed(self, call: CallSnapshot) -> None:
        count = self._registry
        seen = self._calls.get(call.call_id)
        if seen is None:
            seen = self._calls[call.call_id] = _Seen(call.agent_id)
            count.inc(f"{_P}calls_placed_total", kind=call.kind)
        if call.instance_id != seen.instance_id:
            if seen.instance_id is not None and call.instance_id is not None:
                count.inc(f"{_P}calls_moved_total", agent_id=call.agent_id)
            seen.instance_id = call.instance_id
        if call.recoveries > seen.losses:
            count.inc(f"{_P}agent_losses_total", call.recoveries - seen.losses, agent_id=call.agent_id)
            seen.losses = call.recoveries
        if call.answered_at is not None and not seen.answered:
            seen.answered = True
            count.observe(f"{_P}call_answer_seconds", call.answered_at - call.placed_at, kind=call.kind)
        if call.phase is Phase.ENDED:
            del self._calls[call.call_id]
            self._ended(call)

    def _ended(self, call: CallSnapshot) -> None:
        count, kind = self._registry, call.kind
        count.inc(
            f"{_P}calls_ended_total", kind=kind, reason=OTHER if call.reason is None else call.reason.value
        )
        count.inc(f"{_P}offers_total", call.offers)
        if call.answered_at is not None:
            count.observe(f"{_P}call_duration_seconds", call.duration_s, kind=kind)
            count.inc(f"{_P}playout_gaps_total", call.gaps, kind=kind)
            count.observe(f"{_P}playout_worst_gap_seconds", call.worst_gap_s, kind=kind)
            count.inc(f"{_P}frames_dropped_total", call.frames_dropped, kind=kind)
            count.inc(f"{_P}caller_audio_dropped_seconds_total", call.caller_dropped_s, kind=kind)
        self._lines.ended(call)

    def _said(self, agent_id: str, event: ConversationReported) -> None:
        count, data = self._registry, event.data
        match event.event:
            case "latency":
                count.observe(f"{_P}voice_to_voice_seconds", _amount(data, "total_s"), agent_id=agent_id)
                for part in PARTS:
                    count.observe(f"{_P}answer_part_seconds", _amount(data, f"{part}_s"), part=part)
            case "user_turn":
                count.inc(f"{_P}turns_total", role="user")
            case "bot_turn":
                count.inc(f"{_P}turns_total", role="bot")
                if data.get("interrupted") is True:
                    count.inc(f"{_P}turns_cut_total")
            case "barge_in":
                verdict = _one_of(data.get("verdict"), VERDICTS)
                count.inc(f"{_P}barge_ins_total", verdict=verdict)
                count.observe(f"{_P}barge_in_held_seconds", _amount(data, "held_s"), verdict=verdict)
            case "tool":
                count.inc(f"{_P}tools_total")
            case "eager_dropped":
                count.inc(f"{_P}eager_answers_dropped_total")
            case "error":
                count.inc(f"{_P}conversation_errors_total", stage=_one_of(data.get("stage"), STAGES))
            case "transfer":
                count.inc(f"{_P}transfers_total", outcome=str(data.get("outcome", OTHER)))
            case _:
                pass


def _one_of(value: Any, known: frozenset[str]) -> str:
    return value if isinstance(value, str) and value in known else OTHER


def _amount(data: dict[str, Any], name: str) -> float:
    """Return a number that an agent has sent, 0 or more: agents are not trusted to keep a counter from failing."""
    value = data.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
        return 0.0
    return min(max(float(value), 0.0), MAX_AMOUNT)
