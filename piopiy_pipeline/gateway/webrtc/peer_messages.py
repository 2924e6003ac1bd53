"""The messages between the gateway and a leg process that has browsers' peer connections. No I/O."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from piopiy_pipeline.gateway.leg_processes.shared_messages import (
    Census,
    CensusTaken,
    OfCall,
    ProcessPing,
    ProcessPong,
    Ready,
    message_parser,
)
from piopiy_pipeline.signaling.messages import Message

__all__ = [
    "AddCandidates",
    "BrowserMessage",
    "BrowserSent",
    "Close",
    "Configure",
    "Connected",
    "IceServerSetting",
    "Negotiate",
    "NegotiateRefused",
    "OfferAnswered",
    "PeerClosed",
    "QualityMeasured",
    "Trickled",
    "parse_from_program",
    "parse_to_program",
]


class IceServerSetting(Message):
    """The address and credentials of a STUN or TURN server."""

    urls: list[str]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class Trickled(Message):
    """An ICE candidate (its line of SDP) and the media section that it belongs to."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


# ------------------------------------------------------------------ gateway -> leg process


class Configure(Message):
    """The first message: the settings that all peers share.

    `rate` is the sample rate of audio frames in Hz; the other fields are those of `WebRtcCalls`.
    """

    event: Literal["configure"] = "configure"
    rate: int
    ice_servers: list[IceServerSetting] = Field(default_factory=list)
    addresses: list[str] = Field(default_factory=list)
    ports: tuple[int, int] | None = None
    connect_s: float
    grace_s: float


class Negotiate(OfCall):
    """An offer, for a `new` peer or one that is there. With `restart` the browser made a fresh connection."""

    event: Literal["negotiate"] = "negotiate"
    offer_number: int
    """Which offer of its call it is: the answer has it too."""
    sdp: str = Field(repr=False)
    restart: bool = False
    new: bool


class AddCandidates(Message):
    """Gives the leg process ICE candidates of the browser."""

    event: Literal["candidates"] = "candidates"
    candidates: list[Trickled]


class BrowserMessage(Message):
    """A message for the browser's application, as JSON text."""

    event: Literal["say"] = "say"
    text: str


class Close(Message):
    """The call is over. With `notify` the browser gets a message that its peer left."""

    event: Literal["close"] = "close"
    notify: bool = True


# ------------------------------------------------------------------ leg process -> gateway


class OfferAnswered(Message):
    """The answer to a `Negotiate`."""

    event: Literal["answered"] = "answered"
    offer_number: int
    sdp: str = Field(repr=False)


class NegotiateRefused(Message):
    """A `Negotiate` cannot be answered: an HTTP status and a sentence. A new peer is closed by it."""

    event: Literal["refused"] = "refused"
    offer_number: int
    status: int
    text: str


class Connected(Message):
    """The browser is connected, and audio can flow."""

    event: Literal["connected"] = "connected"


class BrowserSent(Message):
    """The browser's application sent a message (`data`) or DTMF digits (`digits`)."""

    event: Literal["heard"] = "heard"
    data: dict[str, Any] = Field(default_factory=dict)
    digits: str = ""


class QualityMeasured(Message):
    """A measurement of the connection: what `PeerAudio.quality` returns."""

    event: Literal["measured"] = "measured"
    quality: dict[str, Any]


class PeerClosed(Message):
    """The last message of a peer. `detail` is a sentence, or empty when the caller hung up."""

    event: Literal["gone"] = "gone"
    detail: str = ""


parse_to_program = message_parser(
    "to a leg process", Configure, Negotiate, AddCandidates, BrowserMessage, Close, Census, ProcessPing
)
"""Reads the body of an event for a leg process of browsers. Raises `WireError`."""
parse_from_program = message_parser(
    "of a leg process",
    Ready,
    ProcessPong,
    OfferAnswered,
    NegotiateRefused,
    Connected,
    BrowserSent,
    QualityMeasured,
    PeerClosed,
    CensusTaken,
)
"""Reads the body of an event from a leg process of browsers. Raises `WireError`."""
