"""The events that calls publish on the event bus, for tests of its subscribers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import CallSnapshot, Phase
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = ["NOON", "CallEvents"]

NOON = 1_800_000_000.0
"""The time of day at the loop's time 0 of these calls: some day in January 2027."""


class CallEvents:
    """The events of one call, placed at the loop's time `at`. Each method is what the call publishes then."""

    def __init__(self, call_id: str = "call-1", *, at: float = 100.0, **fields: Any) -> None:
        self.state = CallSnapshot(
            **{
                "call_id": call_id,
                "agent_id": "front-desk",
                "instance_id": None,
                "kind": "stream",
                "from_number": "+15550100",
                "to_number": "+15550199",
                "metadata": {"table": 7},
                "phase": Phase.OFFERING,
                "placed_at": at,
                "answered_at": None,
                "ended_at": None,
                "offers": 1,
                "losses": 0,
                "gaps": 0,
                "worst_gap_s": 0.0,
                "frames_dropped": 0,
                "caller_dropped_s": 0.0,
                "reason": None,
                "detail": "",
                **fields,
            }
        )
        self._number = 0

    def placed(self) -> CallChanged:
        return self._changed(self.state.placed_at)

    def answered(self, at: float) -> CallChanged:
        return self._changed(at, phase=Phase.LIVE, answered_at=at, instance_id="one")

    def ended(self, at: float, reason: EndReason = EndReason.CALLER_HANGUP, **fields: Any) -> CallChanged:
        return self._changed(at, phase=Phase.ENDED, ended_at=at, reason=reason, **fields)

    def event(
        self, event: ConversationEventName = "user_turn", at: float = 1.0, **data: Any
    ) -> ConversationReported:
        self._number += 1
        data = data or {"text": f"turn {self._number}"}
        return ConversationReported(
            NOON + self.state.placed_at + at, self.state.call_id, self._number, at, event, data
        )

    def _changed(self, at: float, **fields: Any) -> CallChanged:
        self.state = replace(self.state, **fields)
        return CallChanged(NOON + at, self.state)
