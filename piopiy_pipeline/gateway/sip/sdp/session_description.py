"""Session descriptions (SDP): parsing with limits and checks, because anybody can send them, and writing. No I/O.

**The rule** is that of `syntax.uri`: what is used must be right, and what is not used need not be. Used are the first
line (``v=0``), the number and order of the ``m=`` lines, and of the first audio over plain RTP that has a port: its
``m=`` and its ``c=`` line (or that of the session), its direction, and the ``a=rtpmap`` of the codec that is chosen. A
format whose mapping cannot be read is not there. Everything else may be missing, unknown or malformed.

The installed aiortc has an SDP parser, too; that one refuses a description for any line that it cannot read.

Source: RFC 8866; RFC 3551 (payload types); RFC 5761 (rtcp-mux).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

__all__ = [
    "CODECS",
    "CodecName",
    "Direction",
    "MediaDescription",
    "MediaFormat",
    "SdpError",
    "SessionDescription",
]

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
CodecName = Literal["PCMU", "PCMA", "G722", "opus"]

_MAX_BYTES = 16 * 1024
_MAX_LINES = 400
_MAX_MEDIA = 16
_MAX_FORMATS = 64
_PLAIN_RTP = ("RTP/AVP", "RTP/AVPF")


class SdpError(ValueError):
    """The text is no session description (400 Bad Request); the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """A codec under a payload type. `rate` is the RTP clock in Hz, which for G.722 is 8000 (RFC 3551, 4.5.2)."""

    payload_type: int
    name: str
    rate: int
    channels: int = 1
    fmtp: str = ""


CODECS: dict[str, MediaFormat] = {
    "PCMU": MediaFormat(0, "PCMU", 8000),
    "PCMA": MediaFormat(8, "PCMA", 8000),
    "G722": MediaFormat(9, "G722", 8000),
    "opus": MediaFormat(96, "opus", 48_000, 2, "useinbandfec=1"),
}
"""The codecs that can be offered, with the payload types that we offer."""

_STATIC = {format.payload_type: format for format in CODECS.values() if format.payload_type < 96}
_STATIC[13] = MediaFormat(13, "CN", 8000)

_DIRECTIONS: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """One `m=` section. `host` is its connection address, or else the session's; port 0 means refused."""

    kind: str
    port: int
    protocol: str
    payload_types: tuple[str, ...]
    """The payload types as they were written: numbers for RTP, anything for other protocols."""
    formats: tuple[MediaFormat, ...] = ()
    """The payload types with a known codec, in the order of preference."""
    host: str = ""
    direction: Direction = "sendrecv"
    ptime_ms: int | None = None
    rtcp_port: int | None = None
    rtcp_mux: bool = False


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """The media of one side of a call. `bytes()` of it is what goes on the wire."""

    media: tuple[MediaDescription, ...]
    host: str = ""
    session_id: int = 0
    version: int = 0
    user: str = "-"

    @property
    def audio(self) -> MediaDescription | None:
        """The first audio stream over plain RTP that has a port; if all are refused (port 0), the first. Or None."""
        voices = [m for m in self.media if _is_voice(m)]
        return next((m for m in voices if m.port), voices[0] if voices else None)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a description. Raises `SdpError`, whose text quotes the line that is wrong."""
        lines = _lines(data)
        user, session_id, version = "-", 0, 0
        session_connection = ""
        session_direction: Direction = "sendrecv"
        sections: list[_Section] = []
        for key, value in lines:
            section = sections[-1] if sections else None
            if key == "m":
                if len(sections) >= _MAX_MEDIA:
                    raise SdpError(f"more than {_MAX_MEDIA} media streams")
                sections.append(_Section.parse(value))
            elif key == "o" and section is None:
                user, session_id, version = _origin(value)
            elif key == "c":
                if section is None:
                    session_connection = value
                else:
                    section.connection = value
            elif key == "a":
                if section is not None:
                    section.attribute(value)
                elif value in _DIRECTIONS:
                    session_direction = _DIRECTIONS[value]
        media = tuple(section.finish(session_connection, session_direction) for section in sections)
        host, _ = _connection(session_connection)
        described = cls(media, host, session_id, version, user)
        for section, finished in zip(sections, media, strict=True):
            if section.problem and finished is described.audio:
                raise SdpError(section.problem)
        return described

    def __bytes__(self) -> bytes:
        """Write the description as SDP, with CRLF line ends."""
        family = "IP6" if ":" in self.host else "IP4"
        out = [
            "v=0",
            f"o={self.user} {self.session_id} {self.version} IN {family} {self.host}",
            "s=-",
            f"c=IN {family} {self.host}",
            "t=0 0",
        ]
        for media in self.media:
            out += _written(media)
        return ("\r\n".join(out) + "\r\n").encode()


def _is_voice(media: MediaDescription) -> bool:
    return media.kind == "audio" and media.protocol.upper() in _PLAIN_RTP


def _written(media: MediaDescription) -> list[str]:
    types = [str(format.payload_type) for format in media.formats] or list(media.payload_types) or ["0"]
    lines = [f"m={media.kind} {media.port} {media.protocol} {' '.join(types)}"]
    if media.port == 0 and not media.formats:
        return lines
    for format in media.formats:
        channels = f"/{format.channels}" if format.channels > 1 else ""
        lines.append(f"a=rtpmap:{format.payload_type} {format.name}/{format.rate}{channels}")
        if format.fmtp:
            lines.append(f"a=fmtp:{format.payload_type} {format.fmtp}")
    if media.ptime_ms:
        lines.append(f"a=ptime:{media.ptime_ms}")
    if media.rtcp_mux:
        lines.append("a=rtcp-mux")
    lines.append(f"a={media.direction}")
    return lines


def _lines(data: bytes) -> list[tuple[str, str]]:
    """Return the key and the value of every line. What is no such line is left out."""
    if len(data) > _MAX_BYTES:
        raise SdpError(f"session description of {len(data)} bytes; at most {_MAX_BYTES}")
    text = data.decode("utf-8", "replace")
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if len(lines) > _MAX_LINES:
        raise SdpError(f"session description of {len(lines)} lines; at most {_MAX_LINES}")
    if not lines or lines[0].strip() != "v=0":
        raise SdpError("a session description begins with v=0")
    return [(line[0], line[2:].strip()) for line in lines if line[1:2] == "="]


def _origin(value: str) -> tuple[str, int, int]:
    """The user, session id and version of another's ``o=``. Nobody here uses them, so what cannot be read is 0."""
    parts = [*value.split(), "", "", ""]
    return parts[0] or "-", _number(parts[1], 2**64) or 0, _number(parts[2], 2**64) or 0


def _connection(value: str) -> tuple[str, str]:
    """The address of a ``c=``, and what is wrong with it; one of the two is empty."""
    parts = value.split()
    if not parts:
        return "", "an audio stream without a connection address (c=)"
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        return "", f"c= is no connection: {value[:60]!r}"
    return parts[2].split("/")[0], ""


def _number(text: str, limit: int) -> int | None:
    """A number below `limit`; None if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) >= limit:
        return None
    return int(text)


class _Section:
    """An `m=` section while it is parsed. `problem` says what is wrong with what is used of an audio section."""

    def __init__(self, kind: str, port: int, protocol: str, payload_types: tuple[str, ...]) -> None:
        self.kind, self.port, self.protocol, self.payload_types = kind, port, protocol, payload_types
        self.problem = ""
        self.connection: str | None = None
        self._unreadable: set[int] = set()
        self._direction: Direction | None = None
        self._maps: dict[int, MediaFormat] = {}
        self._fmtp: dict[int, str] = {}
        self._ptime: int | None = None
        self._rtcp_port: int | None = None
        self._mux = False

    @classmethod
    def parse(cls, value: str) -> Self:
        parts = value.split()
        if len(parts) < 3:  # each has to be answered in its place
            raise SdpError(f"m= has at least three fields: {value[:60]!r}")
        port = _number(parts[1].split("/")[0], 65_536)
        section = cls(parts[0].lower(), port or 0, parts[2], tuple(parts[3 : 3 + _MAX_FORMATS]))
        if port is None:
            section.problem = f"port is no number below 65536: {parts[1][:40]!r}"
        elif len(parts) - 3 > _MAX_FORMATS:
            section.problem = f"more than {_MAX_FORMATS} formats in a media stream"
        return section

    @property
    def voice(self) -> bool:
        return self.kind == "audio" and self.protocol.upper() in _PLAIN_RTP

    def attribute(self, value: str) -> None:
        if not self.voice:
            return  # streams of other kinds are refused as a whole
        name, _, rest = value.partition(":")
        if value in _DIRECTIONS:
            self._direction = _DIRECTIONS[value]
        elif name == "rtpmap":
            self._map(rest)
        elif name == "fmtp":
            number, _, parameters = rest.strip().partition(" ")
            if number.isascii() and number.isdigit() and len(number) <= 3 and len(self._fmtp) < _MAX_FORMATS:
                self._fmtp[int(number)] = parameters.strip()
        elif name == "ptime":
            text = rest.strip()
            if text.isascii() and text.isdigit() and len(text) <= 3 and 10 <= int(text) <= 120:
                self._ptime = int(text)
        elif name == "rtcp":
            self._rtcp_port = _number(rest.split()[0] if rest.split() else "", 65_536)
        elif name == "rtcp-mux":
            self._mux = True

    def _map(self, rest: str) -> None:
        number, _, encoding = rest.strip().partition(" ")
        name, *numbers = encoding.strip().split("/")
        payload_type = _number(number, 128)
        rate = _number(numbers[0], 2**31) if 1 <= len(numbers) <= 2 else None
        channels = _number(numbers[1], 256) if len(numbers) == 2 else 1
        if payload_type is None:
            return
        if not name or rate is None or channels is None:
            self._unreadable.add(payload_type)
        elif len(self._maps) < _MAX_FORMATS:
            self._maps[payload_type] = MediaFormat(payload_type, name, rate, channels)

    def finish(self, session_connection: str, session_direction: Direction) -> MediaDescription:
        host, problem = _connection(self.connection if self.connection is not None else session_connection)
        if self.port:
            self.problem = self.problem or problem
        formats = []
        for text in self.payload_types if self.voice else ():
            payload_type = _number(text, 128)
            if payload_type is None or payload_type in self._unreadable:
                continue
            format = self._maps.get(payload_type) or _STATIC.get(payload_type)
            if format is not None:
                formats.append(replace(format, fmtp=self._fmtp.get(payload_type, "")))
        return MediaDescription(
            kind=self.kind,
            port=self.port,
            protocol=self.protocol,
            payload_types=self.payload_types,
            formats=tuple(formats),
            host=host,
            direction=self._direction or session_direction,
            ptime_ms=self._ptime,
            rtcp_port=self._rtcp_port,
            rtcp_mux=self._mux,
        )
