"""Values that show the gateway at one moment, for a console, a test or a record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.instance_messages import Load

__all__ = ["CallSnapshot", "InstanceSnapshot", "Phase", "Snapshot"]


@dataclass(frozen=True, slots=True)
class CallSnapshot:
    """A call as a console shows it. Times are of the gateway's event loop, in seconds."""

    call_id: str
    agent_id: str
    instance_id: str | None
    kind: CallKind
    from_number: str | None
    to_number: str | None
    metadata: dict[str, Any] | None
    phase: Phase
    placed_at: float
    answered_at: float | None
    ended_at: float | None
    offers: int
    losses: int
    """How many instances were lost with the call, whether or not another one has followed."""
    gaps: int
    worst_gap_s: float
    frames_dropped: int
    caller_dropped_s: float
    reason: EndReason | None
    detail: str
    recorded: bool = False
    """Whether a recording was begun."""
    line: dict[str, Any] = field(default_factory=dict)
    """What is known of the caller's line, and of its cleaning: see `Leg.line_quality` and `SoundCleaner.quality`."""

    @property
    def duration_s(self) -> float:
        """The length of a call that has ended, from its answer; 0.0 if it was not answered."""
        return 0.0 if self.answered_at is None or self.ended_at is None else self.ended_at - self.answered_at


@dataclass(frozen=True, slots=True)
class InstanceSnapshot:
    """A connected instance as a console shows it."""

    agent_id: str
    instance_id: str
    version: str
    capacity: int
    active: int
    draining: bool
    """Whether it takes no new calls, because it ends, or an operator wants it so."""
    silent: str = ""
    """Why nothing is offered to it, a sentence: it hangs, is cut off or blocked. Empty while all is well."""
    has_its_call: bool = False
    """Whether it is a call worker that takes one call and has it: it says that it takes no other, as if it drained."""
    load: Load | None = None
    """How busy its process is, and which calls it takes because of that; None if its agent does not say."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The connected instances, the calls in progress, and the last calls that ended, the latest last."""

    instances: tuple[InstanceSnapshot, ...]
    calls: tuple[CallSnapshot, ...]
    ended: tuple[CallSnapshot, ...]
