"""The records of calls as values: what the database keeps, what the API returns, what webhooks send.

Times of day are ISO 8601 in UTC, lengths of time are seconds. Unknown keys are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.metrics.conversation_counts import amount
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = [
    "BadCursor",
    "CallDetail",
    "CallEvent",
    "CallPage",
    "CallQuality",
    "CallRecord",
    "CallUsage",
    "RecordsReplaced",
    "RecordsUnavailable",
]


class RecordsUnavailable(GatewayError):
    """The database does not answer just now: ask again later."""


class RecordsReplaced(RecordsUnavailable):
    """The file of the database was deleted, moved or replaced, and a new one is open."""


class BadCursor(ValueError):
    """The cursor given as `before` is not the `next` of any page."""


class _RecordModel(BaseModel):
    """The settings that all models of records share."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CallQuality(_RecordModel):
    """The quality of the audio, as far as the gateway can measure it."""

    gaps: int = 0
    worst_gap_s: float = 0.0
    frames_dropped: int = 0
    caller_dropped_s: float = 0.0
    line: dict[str, float | None] = Field(default_factory=dict)
    """What was measured on a phone's or browser's line: packets received, lost and sent, jitter, round trip."""


class CallRecord(_RecordModel):
    """The record of a call, past or present."""

    call_id: str
    agent_id: str
    instance_id: str | None
    kind: CallKind
    from_number: str | None
    to_number: str | None
    metadata: dict[str, Any] | None = None
    phase: Phase
    placed_at: datetime
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration_s: float | None = None
    """Seconds from the answer to the end, or to now. None: it was never answered."""
    reason: EndReason | None = None
    detail: str = ""
    recorded: bool = False
    """Whether ``/api/calls/{call_id}/recording`` has a recording."""
    quality: CallQuality = CallQuality()


class CallEvent(_RecordModel):
    """An event of a conversation, `at` seconds after the answer.

    `signaling.messages.ConversationEvent` lists the events.
    """

    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]


class CallUsage(_RecordModel):
    """What the providers of a call were given, and what models have written, as far as the agents have told."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: what a provider had in its cache."""
    stt_seconds: float = 0.0
    tts_characters: int = 0

    def plus(self, data: Mapping[str, Any]) -> Self:
        """Return the sum of this and what an event ``usage`` says."""
        return type(self)(
            input_tokens=self.input_tokens + int(amount(data, "input_tokens")),
            output_tokens=self.output_tokens + int(amount(data, "output_tokens")),
            cached_tokens=self.cached_tokens + int(amount(data, "cached_tokens")),
            stt_seconds=self.stt_seconds + amount(data, "seconds"),
            tts_characters=self.tts_characters + int(amount(data, "characters")),
        )

    @classmethod
    def of(cls, events: Iterable[CallEvent]) -> Self:
        """Return the sum of what is said in the events of a conversation."""
        usage = cls()
        for event in events:
            if event.event == "usage":
                usage = usage.plus(event.data)
        return usage


class CallDetail(_RecordModel):
    """A call, and the events of its conversation in order."""

    call: CallRecord
    events: list[CallEvent]
    usage: CallUsage = CallUsage()
    """The sum of the events ``usage``."""
    trace_id: str = ""
    """The id of the call's trace, wherever spans are sent."""


class CallPage(_RecordModel):
    """Some calls, the latest first. `next` is the parameter `before` of the next page, if there is one."""

    calls: list[CallRecord]
    next: str | None = None
