"""`CallMetrics`: counts what the event bus says of calls. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.gateway.metrics.line_counts import LineCounts
from piopiy_pipeline.metrics.conversation_counts import ConversationCounts, amount
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.metrics.sink import OTHER

__all__ = ["CallMetrics"]

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
        self._conversations = ConversationCounts(registry, _P)
        self._calls: dict[str, _Seen] = {}
        self._kinds: set[str] = set()

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
            if call.kind not in self._kinds:
                self._kinds.add(call.kind)
                for reason in EndReason:  # so that the first end of each is seen as an increase
                    count.inc(f"{_P}calls_ended_total", 0.0, kind=call.kind, reason=reason.value)
            count.inc(f"{_P}calls_placed_total", kind=call.kind)
        if call.instance_id != seen.instance_id:
            if seen.instance_id is not None and call.instance_id is not None:
                count.inc(f"{_P}calls_moved_total", agent_id=call.agent_id)
            seen.instance_id = call.instance_id
        if call.losses > seen.losses:
            count.inc(f"{_P}agent_losses_total", call.losses - seen.losses, agent_id=call.agent_id)
            seen.losses = call.losses
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
            case "transfer":
                count.inc(f"{_P}transfers_total", outcome=str(data.get("outcome", OTHER)))
            case "usage":
                for name, type_ in (("input_tokens", "input"), ("output_tokens", "output")):
                    count.inc(f"{_P}tokens_total", amount(data, name), agent_id=agent_id, type=type_)
                count.inc(f"{_P}stt_audio_seconds_total", amount(data, "seconds"), agent_id=agent_id)
                count.inc(f"{_P}tts_characters_total", amount(data, "characters"), agent_id=agent_id)
            case _:
                self._conversations.count(agent_id, event.event, data)
