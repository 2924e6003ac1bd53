"""Offers and answers: which codec, where to, and in which directions the voice of a call flows. No I/O.

One audio stream over plain RTP. The leg says on which address it listens, and learns where it has to send.

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
    """A proper session description that cannot be met here: 488 Not Acceptable Here, with the reason."""


@dataclass(frozen=True, slots=True)
class AgreedMedia:
    """What both sides have agreed on: everything that the media of a call needs to know."""

    host: str
    """Where to send, until symmetric RTP knows better. Empty when the stream is refused."""
    port: int
    codec: MediaFormat
    """What we send, under the peer's payload type."""
    receive: tuple[MediaFormat, ...]
    """What may arrive, under our payload types."""
    events_out: MediaFormat | None
    """telephone-event (RFC 4733) as the peer takes it; None: it takes none."""
    events_in: MediaFormat | None
    sends: bool
    """Whether we may send: not while the peer holds us."""
    receives: bool
    """Whether the peer sends."""
    ptime_ms: int = 20
    rtcp_port: int = 0
    """Where the peer wants RTCP; the same as `port` with `rtcp_mux`."""
    rtcp_mux: bool = False


class Negotiation:
    """Our side of a call's offers and answers: one audio stream, over plain RTP.

    `host` and `port` are where we listen for RTP; `codecs` are those allowed, in the order in which
    they are offered. An answer takes the peer's first that is allowed, and that one alone.
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
        """Answer an offer; `direction` is what we want of our own accord. Raises `SdpRefused`.

        A later offer with port 0 is answered in kind: nothing flows.
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
            else:  # RFC 3264, 6: what is not wanted is refused in its place
                media.append(replace(section, port=0, formats=()))
        return self._described(tuple(media)), self._agreed(theirs, codec, (codec,), events, ours)

    def offer(self, *, direction: Direction = "sendrecv") -> SessionDescription:
        """What we offer: all allowed codecs, keys as telephone-event."""
        return self._described((self._offered(direction),))

    def accept(self, answer: SessionDescription) -> AgreedMedia:
        """What the peer's answer to our latest offer makes of it. Raises `SdpRefused`."""
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
        receive = tuple(f for f in ours.formats if f.name != _EVENTS.name and (f.name.lower() in named))
        return self._agreed(theirs, codec, receive, _events(theirs.formats, codec.rate), ours)

    def moved(self, *, host: str, port: int) -> None:
        """We listen somewhere else from now on."""
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
        """RFC 3264, 8: the version grows with each change, and with none else."""
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
            events_in=_events(ours.formats, codec.rate),
            sends=flows and reached and wanted in ("sendrecv", "sendonly"),
            receives=flows and wanted in ("sendrecv", "recvonly"),
            ptime_ms=theirs.ptime_ms or 20,
            rtcp_port=theirs.port if mux else theirs.rtcp_port or (theirs.port + 1 if theirs.port else 0),
            rtcp_mux=mux,
        )


def choose(formats: Iterable[MediaFormat], allowed: Sequence[str]) -> MediaFormat | None:
    """The first of `formats` that is allowed, in the offerer's order (RFC 3264, 6.1)."""
    names = {name.lower(): name for name in allowed}
    for format in formats:
        known = CODECS.get(names.get(format.name.lower(), ""))
        if known is not None and format.rate == known.rate:
            return replace(format, name=known.name)
    return None


def _events(formats: Iterable[MediaFormat], rate: int) -> MediaFormat | None:
    """RFC 4733, 2.1: the keys that run on the clock of the voice."""
    return next((f for f in formats if f.name.lower() == _EVENTS.name and f.rate == rate), None)


def _effective(media: MediaDescription) -> Direction:
    """A connection address of zero is the hold of old (RFC 3264, 8.4): it takes nothing in."""
    if media.port == 0:
        return "inactive"
    if media.host in ("0.0.0.0", "::"):
        return _narrowed(media.direction, "sendonly")
    return media.direction


def _narrowed(a: Direction, b: Direction) -> Direction:
    """What is left when both must agree."""
    send = a in ("sendrecv", "sendonly") and b in ("sendrecv", "sendonly")
    receive = a in ("sendrecv", "recvonly") and b in ("sendrecv", "recvonly")
    if send:
        return "sendrecv" if receive else "sendonly"
    return "recvonly" if receive else "inactive"
