"""Session descriptions (SDP): parsing with limits and checks, because anybody can send them, and writing. No I/O.

The installed aiortc has an SDP parser, too; this one is stricter, and says which line is wrong.

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
        """The first audio stream over plain RTP, also when it is refused (port 0); None if there is none."""
        return next((m for m in self.media if _is_voice(m)), None)

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse a description. Raises `SdpError`, whose text quotes the line that is wrong."""
        lines = _lines(data)
        user, session_id, version = "-", 0, 0
        session_host = ""
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
                host = _connection(value)
                if section is None:
                    session_host = host
                else:
                    section.host = host
            elif key == "a":
                if section is not None:
                    section.attribute(value)
                elif value in _DIRECTIONS:
                    session_direction = _DIRECTIONS[value]
        media = tuple(section.finish(session_host, session_direction) for section in sections)
        return cls(media, session_host, session_id, version, user)

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
    """Return the key and the value of every line. Only lines that cannot mean anything are an error."""
    if len(data) > _MAX_BYTES:
        raise SdpError(f"session description of {len(data)} bytes; at most {_MAX_BYTES}")
    text = data.decode("utf-8", "replace")
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line.strip()]
    if len(lines) > _MAX_LINES:
        raise SdpError(f"session description of {len(lines)} lines; at most {_MAX_LINES}")
    if not lines or lines[0].strip() != "v=0":
        raise SdpError("a session description begins with v=0")
    pairs = []
    for line in lines:
        if len(line) < 2 or line[1] != "=" or not line[0].isalpha():
            raise SdpError(f"no line of a session description: {line[:60]!r}")
        pairs.append((line[0], line[2:].strip()))
    return pairs


def _origin(value: str) -> tuple[str, int, int]:
    parts = value.split()
    if len(parts) != 6:
        raise SdpError(f"o= has six fields, not {len(parts)}: {value[:60]!r}")
    return parts[0], _number(parts[1], "session id", 2**64), _number(parts[2], "session version", 2**64)


def _connection(value: str) -> str:
    parts = value.split()
    if len(parts) != 3 or parts[0] != "IN" or parts[1] not in ("IP4", "IP6"):
        raise SdpError(f"c= is no connection: {value[:60]!r}")
    return parts[2].split("/")[0]


def _number(text: str, what: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 20) or int(text) >= limit:
        raise SdpError(f"{what} is no number below {limit}: {text[:40]!r}")
    return int(text)


class _Section:
    """An `m=` section while it is parsed."""

    def __init__(self, kind: str, port: int, protocol: str, payload_types: tuple[str, ...]) -> None:
        self.kind, self.port, self.protocol, self.payload_types = kind, port, protocol, payload_types
        self.host: str | None = None
        self._direction: Direction | None = None
        self._maps: dict[int, MediaFormat] = {}
        self._fmtp: dict[int, str] = {}
        self._ptime: int | None = None
        self._rtcp_port: int | None = None
        self._mux = False

    @classmethod
    def parse(cls, value: str) -> Self:
        parts = value.split()
        if len(parts) < 4:
            raise SdpError(f"m= has at least four fields: {value[:60]!r}")
        if len(parts) - 3 > _MAX_FORMATS:
            raise SdpError(f"more than {_MAX_FORMATS} formats in a media stream")
        port = _number(parts[1].split("/")[0], "port", 65_536)
        return cls(parts[0].lower(), port, parts[2], tuple(parts[3:]))

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
            self._rtcp_port = _number(rest.split()[0] if rest.split() else "", "RTCP port", 65_536)
        elif name == "rtcp-mux":
            self._mux = True

    def _map(self, rest: str) -> None:
        number, _, encoding = rest.strip().partition(" ")
        parts = encoding.strip().split("/")
        if len(parts) not in (2, 3) or not parts[0]:
            raise SdpError(f"a=rtpmap is no mapping: {rest[:60]!r}")
        payload_type = _number(number, "payload type", 128)
        rate = _number(parts[1], "clock rate", 2**31)
        channels = _number(parts[2], "channels", 256) if len(parts) == 3 else 1
        if len(self._maps) < _MAX_FORMATS:
            self._maps[payload_type] = MediaFormat(payload_type, parts[0], rate, channels)

    def finish(self, session_host: str, session_direction: Direction) -> MediaDescription:
        host = self.host if self.host is not None else session_host
        voice = self.voice
        if voice and self.port and not host:
            raise SdpError("an audio stream without a connection address (c=)")
        formats = []
        for text in self.payload_types if voice else ():
            payload_type = _number(text, "payload type", 128)
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
