"""The messages between a caller over a WebSocket (``piopiy call``, a test) and the gateway.

The caller connects to ``/call/{agent_id}`` with ``Authorization: Bearer <caller key>``, sends one
`CallStart`, and after `Answered` binary messages of PCM16 little-endian mono at its own rate go
both ways. What comes from the gateway is paced: 20 ms at a time, at the moment it is to be played,
and only while there is something to play.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.signaling.json_messages import Message, parser
from piopiy_pipeline.signaling.media_events import DataMessage, Dtmf

__all__ = [
    "Answered",
    "CallStart",
    "CallerEvent",
    "Conversation",
    "Leave",
    "LegEnded",
    "LegEvent",
    "LegFault",
    "Ringing",
    "parse_caller_event",
    "parse_leg_event",
]


class CallStart(Message):
    """The first message of a caller. `rate` is the sample rate of both directions in Hz.

    With `watch`, the conversation (what was said, which tools ran) comes as `Conversation` events, and before audio of
    another source its name is ``sound``: ``of`` the ``bot``, a ``bridge`` to somebody else, or the gateway's own, while
    the caller is on ``hold`` or ``nobody`` has the call, because its agent was lost.
    """

    event: Literal["start"] = "start"
    rate: Literal[8000, 16000, 24000, 48000] = 16000
    from_number: str | None = None
    to_number: str | None = None
    metadata: dict[str, Any] | None = None
    watch: bool = True


class Leave(Message):
    """The message with which the caller hangs up."""

    event: Literal["hangup"] = "hangup"


class Ringing(Message):
    """The call is known under `call_id`, and an agent is being asked."""

    event: Literal["ringing"] = "ringing"
    call_id: str


class Answered(Message):
    """The bot can hear and speak: audio may flow."""

    event: Literal["answered"] = "answered"


class Conversation(Message):
    """An event of the conversation, as `signaling.messages.ConversationEvent` describes it.

    `name` is any text, because gateways are newer than some callers: a caller passes over names that it does not know.
    """

    event: Literal["conversation"] = "conversation"
    at: float
    name: Annotated[str, Field(min_length=1, max_length=64)]
    data: dict[str, Any] = Field(default_factory=dict)


class LegEnded(Message):
    """The call is over. Nothing follows but the close."""

    event: Literal["ended"] = "ended"
    reason: EndReason
    detail: str = ""


class LegFault(Message):
    """The caller sent something that fits no model. Nothing follows but the close."""

    event: Literal["fault"] = "fault"
    detail: str


CallerEvent = Annotated[CallStart | Leave | Dtmf | DataMessage, Field(discriminator="event")]
LegEvent = Annotated[
    Ringing | Answered | Conversation | LegEnded | LegFault | Dtmf | DataMessage,
    Field(discriminator="event"),
]

parse_caller_event: Callable[[str | bytes], CallerEvent] = parser(CallerEvent)
"""An event that a caller sent. Raises `ProtocolError`."""
parse_leg_event: Callable[[str | bytes], LegEvent] = parser(LegEvent)
"""An event that the gateway sent to a caller. Raises `ProtocolError`; a caller passes over an `UnknownMessage`."""
