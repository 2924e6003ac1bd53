"""Offer and answer: which codec the audio of a call has, where it is sent, and in which directions. No I/O.

A call has one audio stream over plain RTP. The leg says on which address it listens, and learns where it has to send.

Source: RFC 3264.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from piopiy_pipeline.gateway.sip.sdp.session_description import (
    CODECS,
    CodecName,
    Direction,
    MediaDescription,
    MediaFormat,
    SdpError,
    SessionDescription,
)

__all__ = [
    "CODECS",
    "AgreedMedia",
    "CodecName",
    "Direction",
    "MediaDescription",
    "MediaFormat",
    "Negotiation",
    "SdpError",
    "SdpRefused",
    "SessionDescription",
]

_EVENTS = MediaFormat(101, "telephone-event", 8000, 1, "0-15")
_EVENTS_48K = MediaFormat(102, "telephone-event", 48_000, 1, "0-15")

_REVERSED: dict[Direction, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "recvonly",
    "recvonly": "sendonly",
    "inactive": "inactive",
}


class SdpRefused(Exception):
    """A valid session description that cannot be met here (488 Not Acceptable Here); the text says why."""


@dataclass(frozen=True, slots=True)
class AgreedMedia:
    """The media that both sides have agreed on: everything that the call's RTP session needs to know."""

    host: str
    """Where to send until packets of the peer show another address. Empty when there is no usable address."""
    port: int
    codec: MediaFormat
    """The codec in which we send, with the peer's payload type and parameters."""
    receive: tuple[MediaFormat, ...]
    """The codecs that may arrive, with our payload types."""
    events_out: MediaFormat | None
    """The format of telephone events (RFC 4733) that the peer takes; None: it takes none."""
    events_in: tuple[MediaFormat, ...]
    """The formats of telephone events that may arrive."""
    sends: bool
    """Whether we may send: not while the peer has us on hold."""
    receives: bool
    """Whether the peer sends."""
    ptime_ms: int = 20
    """How much audio the peer wants in a packet, in milliseconds."""
    rtcp_port: int = 0
    """The port to which RTCP is sent; the same as `port` with `rtcp_mux`."""
    rtcp_mux: bool = False


class Negotiation:
    """Our side of the offers and answers of a call. An answer takes the first allowed codec of the offer, and no other.

    Args:
        host: Our address for RTP.
        port: Our port for RTP.
        codecs: The allowed codecs, in the order in which they are offered.
        session_id: The number of our session in SDP.
        rtcp_mux: Whether RTCP may share the port of RTP.
    """

    def __init__(
        self, *, host: str, port: int, codecs: Sequence[CodecName], session_id: int, rtcp_mux: bool = True
    ) -> None:
        self._host, self._port = host, port
        self._codecs = tuple(codecs)
        self._session_id = session_id
        self._rtcp_mux = rtcp_mux
        self._last: SessionDescription | None = None

    def answer(
        self, offer: SessionDescription, *, direction: Direction = "sendrecv"
    ) -> tuple[SessionDescription, AgreedMedia]:
        """Answer an offer. A later offer with port 0 is answered with port 0: nothing flows then.

        Args:
            offer: What the peer offers.
            direction: What we want.

        Returns:
            Our answer, and what both sides have agreed on.

        Raises:
            SdpRefused: The offer cannot be met.
        """
        theirs = offer.audio
        if theirs is None:
            raise SdpRefused("the offer has no audio over RTP/AVP")
        codec = choose(theirs.formats, self._codecs)
        if codec is None:
            raise SdpRefused(f"the offer has none of {', '.join(self._codecs)}")
        if theirs.port == 0 and self._last is None:
            raise SdpRefused("the offer refuses its own audio (port 0)")
        events = _events(theirs.formats, codec.rate)
        mux = theirs.rtcp_mux and self._rtcp_mux
        ours = MediaDescription(
            kind="audio",
            port=self._port if theirs.port else 0,
            protocol=theirs.protocol,
            payload_types=(),
            formats=(codec, events) if events else (codec,),
            host=self._host,
            direction=_narrowed(_REVERSED[_effective(theirs)], direction),
            ptime_ms=20,
            rtcp_mux=mux,
        )
        taken = False
        media: list[MediaDescription] = []
        for section in offer.media:
            if not taken and section is theirs:
                taken = True
                media.append(ours)
            else:  # RFC 3264, 6: a stream that is not wanted is refused in its place
                media.append(replace(section, port=0, formats=()))
        return self._described(tuple(media)), self._agreed(theirs, codec, (codec,), events, ours)

    def offer(self, *, direction: Direction = "sendrecv") -> SessionDescription:
        """Make an offer: all allowed codecs, and telephone events."""
        return self._described((self._offered(direction),))

    def accept(self, answer: SessionDescription) -> AgreedMedia:
        """Take the peer's answer to our latest offer. Raises `SdpRefused` when it cannot be met."""
        ours = self._last.audio if self._last is not None else None
        theirs = answer.audio
        if ours is None:
            raise SdpRefused("an answer, but nothing was offered")
        if theirs is None or theirs.port == 0:
            raise SdpRefused("the answer refuses the audio")
        codec = choose(theirs.formats, self._codecs)
        if codec is None:
            raise SdpRefused(f"the answer has none of {', '.join(self._codecs)}")
        named = {format.name.lower() for format in theirs.formats}
        receive = tuple(f for f in ours.formats if not _is_events(f) and f.name.lower() in named)
        return self._agreed(theirs, codec, receive, _events(theirs.formats, codec.rate), ours)

    def resume(self, ours: SessionDescription, theirs: SessionDescription) -> AgreedMedia:
        """Go on where another process was: with our latest description, and the peer's. Raises `SdpRefused`."""
        self._session_id, self._last = ours.session_id, ours
        return self.accept(theirs)

    def moved(self, *, host: str, port: int) -> None:
        """We listen at another address from now on."""
        self._host, self._port = host, port

    def _offered(self, direction: Direction) -> MediaDescription:
        formats = [CODECS[name] for name in self._codecs] + [_EVENTS]
        if "opus" in self._codecs:
            formats.append(_EVENTS_48K)
        return MediaDescription(
            kind="audio",
            port=self._port,
            protocol="RTP/AVP",
            payload_types=(),
            formats=tuple(formats),
            host=self._host,
            direction=direction,
            ptime_ms=20,
            rtcp_mux=self._rtcp_mux,
        )

    def _described(self, media: tuple[MediaDescription, ...]) -> SessionDescription:
        """Return our next description. The version grows with each change, and only then (RFC 3264, section 8)."""
        described = SessionDescription(media, self._host, self._session_id, 1)
        if self._last is not None:
            described = replace(described, version=self._last.version)
            if described != self._last:
                described = replace(described, version=self._last.version + 1)
        self._last = described
        return described

    @staticmethod
    def _agreed(
        theirs: MediaDescription,
        codec: MediaFormat,
        receive: tuple[MediaFormat, ...],
        events: MediaFormat | None,
        ours: MediaDescription,
    ) -> AgreedMedia:
        mux = theirs.rtcp_mux and ours.rtcp_mux
        flows = bool(theirs.port) and bool(ours.port)
        reached = theirs.host not in ("", "0.0.0.0", "::")
        wanted = _narrowed(ours.direction, _REVERSED[theirs.direction])
        return AgreedMedia(
            host=theirs.host if reached else "",
            port=theirs.port,
            codec=codec,
            receive=receive,
            events_out=events,
            events_in=tuple(f for f in ours.formats if _is_events(f)),
            sends=flows and reached and wanted in ("sendrecv", "sendonly"),
            receives=flows and wanted in ("sendrecv", "recvonly"),
            ptime_ms=theirs.ptime_ms or 20,
            rtcp_port=theirs.port if mux else theirs.rtcp_port or (theirs.port + 1 if theirs.port else 0),
            rtcp_mux=mux,
        )


def choose(formats: Iterable[MediaFormat], allowed: Sequence[str]) -> MediaFormat | None:
    """Return the first of `formats` whose codec is allowed, in the order of the offer (RFC 3264, 6.1), or None."""
    names = {name.lower(): name for name in allowed}
    for format in formats:
        known = CODECS.get(names.get(format.name.lower(), ""))
        if known is not None and format.rate == known.rate:
            return replace(format, name=known.name)
    return None


def _is_events(format: MediaFormat) -> bool:
    return format.name.lower() == _EVENTS.name


def _events(formats: Iterable[MediaFormat], rate: int) -> MediaFormat | None:
    """Return the telephone events that run on the clock of the audio (RFC 4733, section 2.1), or else the first ones.

    Many phones and servers have 8000 only, beside Opus, too: keys on that clock are better than none.
    """
    events = [format for format in formats if _is_events(format)]
    return next((format for format in events if format.rate == rate), events[0] if events else None)


def _effective(media: MediaDescription) -> Direction:
    """Return the direction of a stream; the address 0.0.0.0 is the old way to hold (RFC 3264, section 8.4)."""
    if media.port == 0:
        return "inactive"
    if media.host in ("0.0.0.0", "::"):
        return _narrowed(media.direction, "sendonly")
    return media.direction


def _narrowed(a: Direction, b: Direction) -> Direction:
    """Return the direction that is left when both sides must agree."""
    send = a in ("sendrecv", "sendonly") and b in ("sendrecv", "sendonly")
    receive = a in ("sendrecv", "recvonly") and b in ("sendrecv", "recvonly")
    if send:
        return "sendrecv" if receive else "sendonly"
    return "recvonly" if receive else "inactive"
