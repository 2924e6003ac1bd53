"""What the HTTP API takes and gives, as models; OpenAPI is made of them.

Times of day are ISO 8601 in UTC, lengths of time seconds. Unknown keys are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from piopiy_pipeline.gateway.config import IceServer
from piopiy_pipeline.gateway.records.models import CallRecord
from piopiy_pipeline.signaling.messages import ConversationEventName

__all__ = [
    "AgentSummary",
    "AppMessage",
    "CallOrder",
    "Hello",
    "KeysOrder",
    "Problem",
    "ServerInfo",
    "Switch",
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
