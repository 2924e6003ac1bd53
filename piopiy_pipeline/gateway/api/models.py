"""What the HTTP API takes and gives, as models; OpenAPI is made of them.

Times of day are ISO 8601 in UTC, lengths of time seconds. Unknown keys are refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = [
    "AgentSummary",
    "AppMessage",
    "CallDetail",
    "CallEvent",
    "CallOrder",
    "CallPage",
    "CallQuality",
    "CallRecord",
    "Hello",
    "KeysOrder",
    "Problem",
    "ServerInfo",
    "Switch",
    "TokenGrant",
    "TokenRequest",
    "TransferOrder",
    "TransferTicket",
    "WatchKey",
    "WatchedCall",
    "WatchedEvent",
]


class Model(BaseModel):
    """What every model of the API is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Problem(Model):
    """An error: what was wrong, and what to do about it."""

    error: str


class AgentSummary(Model):
    """An agent that this gateway knows, and how much of it is connected."""

    agent_id: str
    instances: int
    active: int
    capacity: int


class ServerInfo(Model):
    """What a page needs to know before anything else. Asks for no key; without one `agents` is left out."""

    version: str
    console: Literal["key", "open"]
    authorized: bool
    agents: list[AgentSummary] = Field(default_factory=list)
    ice_servers: list[IceServer] = Field(default_factory=list)


class TokenRequest(Model):
    """Who may call whom, and for how long the token can be used to begin a call."""

    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    identity: Annotated[str, Field(min_length=1, max_length=128)] = "browser"
    """The bot's `from_number`."""
    to_number: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The bot's `to_number`: the agent's id if there is none."""
    metadata: dict[str, Any] | None = None
    ttl_s: Annotated[int, Field(ge=1, le=86_400)] = 600


class TokenGrant(Model):
    """A client token: send it as ``Authorization: Bearer <token>`` with the offer."""

    token: str
    agent_id: str
    expires_at: datetime


class CallQuality(Model):
    """How well it sounded, as far as the gateway can tell."""

    gaps: int = 0
    worst_gap_s: float = 0.0
    frames_dropped: int = 0
    caller_dropped_s: float = 0.0
    line: dict[str, float | None] = Field(default_factory=dict)
    """Of phones and browsers, what was measured: packets received, lost and sent, jitter, round trip."""


class CallRecord(Model):
    """A call, past or present."""

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
    """From the answer to the end, or to now. None if it was never answered."""
    reason: EndReason | None = None
    detail: str = ""
    recorded: bool = False
    """Whether ``/api/calls/{call_id}/recording`` has a recording."""
    quality: CallQuality = CallQuality()


class CallEvent(Model):
    """Something that happened in a conversation: `signaling.messages.ConversationEvent` lists what."""

    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]


class CallDetail(Model):
    """A call, and its conversation in order."""

    call: CallRecord
    events: list[CallEvent]


class CallPage(Model):
    """Some calls, the latest first; `next` is what to give as `before` for those before them."""

    calls: list[CallRecord]
    next: str | None = None


# ------------------------------------------------------------------ calls that go out, and control


Destination = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A number, a ``sip:`` URI, or the name of a registered phone."""


class CallOrder(Model):
    """Whom to call, and which agent is to talk to them."""

    agent_id: Annotated[str, Field(min_length=1, max_length=128)]
    to: Destination
    """The bot's `to_number`."""
    from_number: Annotated[Destination | None, Field(alias="from")] = None
    """The number that is shown there, and the bot's `from_number`. None: as the trunk's configuration says."""
    metadata: dict[str, Any] | None = None
    """For the bot."""
    max_duration_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The longest it may last from its answer; the gateway's own limit holds too."""
    ring_timeout_s: Annotated[float, Field(gt=0, le=300)] = 45
    """How long it may ring."""
    record: bool | None = None
    """Whether to record it. None: as the gateway's configuration says."""


class TransferOrder(Model):
    """Whom to hand the caller to: `signaling.messages.Transfer` says what *warm* means."""

    to: Destination
    warm: bool = True
    summary: Annotated[str, Field(max_length=2000)] = ""
    """What whoever answers is to know, if they have a display for it (the header ``X-Call-Summary``)."""
    ring_timeout_s: Annotated[float, Field(gt=0, le=300)] = 30


class TransferTicket(Model):
    """A transfer has begun: the event ``transfer`` with this `request_id` tells what became of it."""

    request_id: str


class KeysOrder(Model):
    """Keys to be pressed, in this order."""

    digits: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,64}$")]


class Switch(Model):
    """On, or off again. Said twice, it is the same."""

    on: bool = True


class AppMessage(Model):
    """A message for the application of a caller, or for the bot as if it came from there."""

    data: dict[str, Any]
    to: Literal["caller", "bot"] = "caller"


# ------------------------------------------------------------------ the WebSocket of events, /api/events


class WatchKey(Model):
    """The first message of a watcher, within 5 seconds. `key` is not needed where the console is open."""

    type: Literal["watch"] = "watch"
    key: str | None = None
    calls: list[str] | None = None
    """Events of these calls only; None: of all. Changes of calls are told in any case."""


class Hello(Model):
    """The answer to `WatchKey`. A `WatchedCall` for each call under way follows."""

    type: Literal["hello"] = "hello"
    version: str


class WatchedCall(Model):
    """A call was placed, answered, or ended: what it is now."""

    type: Literal["call"] = "call"
    call: CallRecord


class WatchedEvent(Model):
    """Something happened in a conversation."""

    type: Literal["event"] = "event"
    call_id: str
    number: int
    at: float
    event: ConversationEventName
    data: dict[str, Any]
