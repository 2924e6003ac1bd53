"""`CallTraces`: makes the span of each call of a gateway from the event bus. Only a gateway that traces has it."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.tracing import CallTrace

__all__ = ["CallTraces"]

FAILED = frozenset(
    {EndReason.ERROR, EndReason.AGENT_LOST, EndReason.SETUP_TIMEOUT, EndReason.NO_AGENT, EndReason.BUSY}
)


class CallTraces:
    """Subscribes to the event bus of a gateway."""

    def __init__(self) -> None:
        self._spans: dict[str, tuple[CallTrace, Phase]] = {}

    def on_event(self, event: BusEvent) -> None:
        """Begin, note and end spans."""
        if not isinstance(event, CallChanged):
            return
        call, when = event.call, event.when
        known = self._spans.get(call.call_id)
        if known is None:
            attributes = {"call.kind": call.kind, "piopiy.agent_id": call.agent_id}
            known = (CallTrace(call.call_id, when, attributes), call.phase)
        elif known[1] is not call.phase:
            known[0].event(call.phase.value, when)
        if call.phase is Phase.ENDED:
            self._spans.pop(call.call_id, None)
            reason = "" if call.reason is None else call.reason.value
            known[0].end(when, reason, failed=call.reason in FAILED)
        else:
            self._spans[call.call_id] = (known[0], call.phase)
