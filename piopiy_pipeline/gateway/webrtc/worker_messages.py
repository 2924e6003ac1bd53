"""The messages between the gateway and a worker process, over one stream socket. No I/O.

A frame is the length of its body (4 bytes), its kind (1) and the number of its peer (4; 0 for the process),
little-endian, and then the body: PCM16 mono for audio, JSON for events. Both ends are of one release and run on
one machine. Models still forbid unknown keys, because a call would hang on a misspelt message.
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
    "BrowserMessage",
    "BrowserSent",
    "Census",
    "CensusTaken",
    "Close",
    "Configure",
    "Connected",
    "FrameKind",
    "FromWorker",
    "IceServerSetting",
    "Negotiate",
    "NegotiateRefused",
    "OfferAnswered",
    "PeerClosed",
    "QualityMeasured",
    "Ready",
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
    """The other end sent bytes that are no frame, or a frame that holds no message."""


class FrameKind(IntEnum):
    """Says what the body of a frame is."""

    AUDIO = 0
    EVENT = 1


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


# ------------------------------------------------------------------ gateway -> worker


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


class Negotiate(Message):
    """An offer, for a `new` peer or one that is there. With `restart` the browser made a fresh connection."""

    event: Literal["negotiate"] = "negotiate"
    sdp: str = Field(repr=False)
    restart: bool = False
    new: bool


class AddCandidates(Message):
    """Gives the worker ICE candidates of the browser."""

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


class Census(Message):
    """Count the peers and connections, for tests. The answer is `CensusTaken`."""

    event: Literal["census"] = "census"


class WorkerPing(Message):
    """A sign of life is wanted. The answer is `WorkerPong`."""

    event: Literal["ping"] = "ping"


# ------------------------------------------------------------------ worker -> gateway


class Ready(Message):
    """The process has loaded everything and can take peers."""

    event: Literal["ready"] = "ready"


class WorkerPong(Message):
    """The worker's answer to a `WorkerPing`."""

    event: Literal["pong"] = "pong"


class OfferAnswered(Message):
    """The worker's answer to a `Negotiate`."""

    event: Literal["answered"] = "answered"
    sdp: str = Field(repr=False)


class NegotiateRefused(Message):
    """A `Negotiate` cannot be answered: an HTTP status and a sentence. A new peer is closed by it."""

    event: Literal["refused"] = "refused"
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


class CensusTaken(Message):
    """The number of `peers` that have a call or may get one, and of `connections` that exist in memory."""

    event: Literal["census"] = "census"
    peers: int
    connections: int


ToWorker = Configure | Negotiate | AddCandidates | BrowserMessage | Close | Census | WorkerPing
FromWorker = (
    Ready
    | WorkerPong
    | OfferAnswered
    | NegotiateRefused
    | Connected
    | BrowserSent
    | QualityMeasured
    | PeerClosed
    | CensusTaken
)

_TO_WORKER: TypeAdapter[ToWorker] = TypeAdapter(Annotated[ToWorker, Field(discriminator="event")])
_FROM_WORKER: TypeAdapter[FromWorker] = TypeAdapter(Annotated[FromWorker, Field(discriminator="event")])


def parse_to_worker(body: bytes) -> ToWorker:
    """Parse the body of an event for a worker. Raises `WireError`."""
    try:
        return _TO_WORKER.validate_json(body)
    except ValidationError as error:
        raise WireError(f"no message to a worker: {error.errors(include_input=False)}") from None


def parse_from_worker(body: bytes) -> FromWorker:
    """Parse the body of an event from a worker. Raises `WireError`."""
    try:
        return _FROM_WORKER.validate_json(body)
    except ValidationError as error:
        raise WireError(f"no message of a worker: {error.errors(include_input=False)}") from None


def pack(kind: FrameKind, peer: int, body: bytes) -> bytes:
    """Make a frame for the socket between gateway and worker.

    Args:
        kind: What the body is.
        peer: The number of the peer that it is about.
        body: A message as JSON, or PCM.

    Raises:
        WireError: The other end would refuse the body.
    """
    if len(body) > MAX_BODY:
        raise WireError(f"a message of {len(body)} bytes: {MAX_BODY} are the limit")
    return _HEADER.pack(len(body), kind, peer) + body


class Splitter:
    """Splits the bytes of the socket into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Take bytes and yield the frames that are now complete.

        Yields:
            The kind, the number of the peer, and the body.

        Raises:
            WireError: A frame is longer than allowed.
        """
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
