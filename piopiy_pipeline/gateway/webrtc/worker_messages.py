"""What the gateway and a worker process say to each other, over one stream socket. No I/O.

A frame is its body's length (4 bytes), its kind (1) and the peer that it is of (4; 0 for the process),
little-endian, and the body: PCM16 mono for sound, JSON for all else. Both ends are of one release and
one machine; models still forbid what they do not know, because a misspelt message is a call that hangs.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from piopiy_pipeline.signaling.messages import Message

__all__ = [
    "AddCandidates",
    "BrowserSent",
    "Census",
    "CensusTaken",
    "Close",
    "Configure",
    "Connected",
    "FromWorker",
    "Gone",
    "IceServerSetting",
    "Kind",
    "Negotiate",
    "NegotiateRefused",
    "OfferAnswered",
    "QualityMeasured",
    "Ready",
    "Say",
    "Splitter",
    "ToWorker",
    "Trickled",
    "WireError",
    "WorkerPing",
    "WorkerPong",
    "pack",
    "parse_from_worker",
    "parse_to_worker",
]

MAX_BODY = 1 << 20
_HEADER = Struct("<IBI")


class WireError(ValueError):
    """Bytes that are no frame, or a frame that is no message: the other end is not what it should be."""


class Kind(IntEnum):
    """What a frame's body is."""

    SOUND = 0
    EVENT = 1


class IceServerSetting(Message):
    """A STUN or TURN server."""

    urls: list[str]
    username: str | None = None
    credential: str | None = Field(default=None, repr=False)


class Trickled(Message):
    """An ICE candidate's line of SDP, and the medium that it is of."""

    candidate: str
    sdp_mid: str | None = None
    sdp_mline_index: int | None = None


# ------------------------------------------------------------------ gateway -> worker


class Configure(Message):
    """The first message: what all peers share. `rate` is of the sound on this wire, in Hz."""

    event: Literal["configure"] = "configure"
    rate: int
    ice_servers: list[IceServerSetting] = Field(default_factory=list)
    addresses: list[str] = Field(default_factory=list)
    connect_s: float
    grace_s: float


class Negotiate(Message):
    """An offer, for a `new` peer or one that is there. With `restart` the browser began anew."""

    event: Literal["negotiate"] = "negotiate"
    sdp: str = Field(repr=False)
    restart: bool = False
    new: bool


class AddCandidates(Message):
    """The browser found ways to be reached."""

    event: Literal["candidates"] = "candidates"
    candidates: list[Trickled]


class Say(Message):
    """A message for the browser's application, as JSON text."""

    event: Literal["say"] = "say"
    text: str


class Close(Message):
    """The call is over. With `tell` the browser is told that its peer left."""

    event: Literal["close"] = "close"
    tell: bool = True


class Census(Message):
    """How much is there?"""

    event: Literal["census"] = "census"


class WorkerPing(Message):
    """Are you there?"""

    event: Literal["ping"] = "ping"


# ------------------------------------------------------------------ worker -> gateway


class Ready(Message):
    """Everything is loaded: peers may come."""

    event: Literal["ready"] = "ready"


class WorkerPong(Message):
    """The answer to a `WorkerPing`."""

    event: Literal["pong"] = "pong"


class OfferAnswered(Message):
    """The answer to a `Negotiate`."""

    event: Literal["answered"] = "answered"
    sdp: str = Field(repr=False)


class NegotiateRefused(Message):
    """A `Negotiate` that cannot be answered: an HTTP status, and a sentence. A new peer is gone with it."""

    event: Literal["refused"] = "refused"
    status: int
    text: str


class Connected(Message):
    """Sound can flow."""

    event: Literal["connected"] = "connected"


class BrowserSent(Message):
    """The browser's application sent a message, or pressed keys."""

    event: Literal["heard"] = "heard"
    data: dict[str, Any] = Field(default_factory=dict)
    digits: str = ""


class QualityMeasured(Message):
    """How well it goes: see `Peer.quality`."""

    event: Literal["measured"] = "measured"
    quality: dict[str, Any]


class Gone(Message):
    """The last of a peer; the detail is a sentence, or nothing when the caller left in good order."""

    event: Literal["gone"] = "gone"
    detail: str = ""


class CensusTaken(Message):
    """`peers` that have a call or may get one, and `connections` that exist in memory at all."""

    event: Literal["census"] = "census"
    peers: int
    connections: int


ToWorker = Configure | Negotiate | AddCandidates | Say | Close | Census | WorkerPing
FromWorker = (
    Ready
    | WorkerPong
    | OfferAnswered
    | NegotiateRefused
    | Connected
    | BrowserSent
    | QualityMeasured
    | Gone
    | CensusTaken
)

_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="event")])
_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="event")])


def parse_to_worker(body: bytes) -> ToWorker:
    """Raises `WireError`."""
    try:
        return _TO_WORKER.validate_json(body)
    except ValidationError as error:
        raise WireError(f"no message to a worker: {error.errors(include_input=False)}") from None


def parse_from_worker(body: bytes) -> FromWorker:
    """Raises `WireError`."""
    try:
        return _FROM_WORKER.validate_json(body)
    except ValidationError as error:
        raise WireError(f"no message of a worker: {error.errors(include_input=False)}") from None


def pack(kind: Kind, peer: int, body: bytes) -> bytes:
    """A frame. Raises `WireError` for a body that the other end would not take."""
    if len(body) > MAX_BODY:
        raise WireError(f"a message of {len(body)} bytes: {MAX_BODY} are the limit")
    return _HEADER.pack(len(body), kind, peer) + body


class Splitter:
    """Bytes as they come off the socket, to frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The frames that are complete now: kind, peer, body. Raises `WireError`."""
        self._buffer += data
        at, size = 0, len(self._buffer)
        try:
            while size - at >= _HEADER.size:
                length, kind, peer = _HEADER.unpack_from(self._buffer, at)
                if length > MAX_BODY:
                    raise WireError(f"a frame of {length} bytes: {MAX_BODY} are the limit")
                end = at + _HEADER.size + length
                if end > size:
                    break
                body = bytes(self._buffer[at + _HEADER.size : end])
                at = end
                yield kind, peer, body
        finally:
            del self._buffer[:at]
