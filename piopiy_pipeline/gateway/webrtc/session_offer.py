"""What the gateway uses of a browser's offer, and the answer to the rest of it. No I/O.

**The rule**: one audio line and one data channel are used, and everything else in an offer is not. What is not
used never refuses a call: video and further audio lines, in any order and with any attributes, unknown media,
candidates over TCP, lines that nobody knows. What is used must be right, or the offer is refused with a
sentence: the lines themselves (``m=``), the payload type of Opus, the direction, the ICE user name and password, the
DTLS fingerprint and role, the port of the data channel.

aiortc reads every line, and takes down the transport of a bundle whose first line is not the audio. So it is
given an offer that holds what is used and nothing else, and its answer is put back into the order of the
browser's lines. A line that is not used is answered ``inactive`` if it is bundled, because the browser's transceiver
stays usable then and because the first line of a bundle carries the transport for all. Otherwise it is rejected.

References: RFC 8829 (offer and answer), RFC 9143 (BUNDLE), RFC 8839 (ICE in SDP), RFC 8841 (data channels).
Whole calls with such offers are tested in ``tests/regressions/test_browser_offers.py``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import pairwise

__all__ = ["IceCandidate", "OfferError", "SessionOffer", "parse_candidate"]

MAX_MEDIA = 16
MAX_CANDIDATES = 64
"""ICE candidates of one browser. Each is tried from each of our addresses, and browsers have about a dozen."""
MESSAGE_SIZE = 65_536
"""The longest message of a data channel whose offer does not say how much it takes (RFC 8841, 6)."""

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
"""What an audio line may be for, the most useful first."""
_FINGERPRINT_BYTES = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_TOKEN = re.compile(r"[!-~]+")
_USER_NAME = re.compile(r"[A-Za-z0-9+/]{4,256}")
_PASSWORD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_HEX_BYTES = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2})*")
_AUDIO, _DATA = "audio", "data"  # the mids that aiortc gets, whatever the browser calls its lines
_TRANSPORT = (
    "c=",
    "a=candidate:",
    "a=ice-",
    "a=fingerprint:",
    "a=setup:",
    "a=rtcp-mux",
    "a=rtcp:",
    "a=end-of-",
)
"""How the lines of aiortc's answer begin that describe the transport."""


class OfferError(ValueError):
    """The offer cannot be used. The message is a sentence for the author of the client."""


@dataclass(frozen=True, slots=True)
class IceCandidate:
    """A candidate of the browser that can be used: component 1, UDP."""

    text: str
    """The candidate as SDP has it, without ``candidate:``."""
    is_name: bool
    """Whether its host is an mDNS name, which has to be looked up."""


@dataclass(frozen=True, slots=True)
class MediaOffer:
    """One media line with the lines below it, as they were sent."""

    index: int
    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    lines: tuple[str, ...]

    @property
    def mid(self) -> str | None:
        """Its name in the bundle, or None without one that can be read."""
        return next((value for value in self.all("mid") if _TOKEN.fullmatch(value)), None)

    def all(self, name: str) -> list[str]:
        """Return the values of all its attributes of this name."""
        return _values(self.lines, name)


class SessionOffer:
    """A browser's offer: what is used of it, for aiortc, and the answer to all of it."""

    def __init__(self, sdp: str) -> None:
        """Read an offer.

        Raises:
            OfferError: What is used of it is missing or malformed.
        """
        self._session, self._media = _split(sdp)
        bundles = [
            text.split()[1:] for text in _values(self._session, "group") if text.split()[:1] == ["BUNDLE"]
        ]
        self._audio, self._payload_type, self._direction = self._choose_audio(bundles)
        mid = self._audio.mid
        self._bundle: Sequence[str] = next((one for one in bundles if mid in one), ())
        self._transport = self._choose_transport()
        self._data = self._choose_data()
        self._data_lines = [] if self._data is None else _data_lines(self._data)
        for used in (self._audio, self._transport, self._data):
            if used is not None and sum(one.mid == used.mid for one in self._media if used.mid) > 1:
                raise OfferError(f"the offer has two media lines of the name {used.mid!r:.40}")
        self.fragment = self._transport_value("ice-ufrag")
        """The browser's ICE user name. A new one restarts ICE."""
        password = self._transport_value("ice-pwd")
        if not self.fragment or not password:
            raise OfferError("the offer has no ICE user name and password")
        if not _USER_NAME.fullmatch(self.fragment) or not _PASSWORD.fullmatch(password):
            raise OfferError("the offer's ICE user name or password cannot be read (RFC 8839, 5.4)")
        self._security = [
            f"a=ice-ufrag:{self.fragment}",
            f"a=ice-pwd:{password}",
            *(f"a=fingerprint:{one}" for one in self._fingerprints()),
            f"a=setup:{self._setup()}",
        ]
        offered = self._transport.all("candidate")
        if len(offered) > MAX_CANDIDATES:
            raise OfferError(f"the offer has more than {MAX_CANDIDATES} ICE candidates for a medium")
        self.candidates = [one for text in offered if (one := parse_candidate(text)) is not None]
        """The candidates that can be used."""

    # ------------------------------------------------------------------ for aiortc

    def for_aiortc(self) -> str:
        """Return the part of the offer that is used, as aiortc reads it.

        It never says that these are all candidates. A browser that hides its addresses has only names that
        nobody else can look up, and its packets tell the address later (RFC 8863); the limit on the time to
        connect decides instead.
        """
        transport = [
            *self._security,
            *(f"a=candidate:{one.text}" for one in self.candidates if not one.is_name),
        ]
        lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=-", "t=0 0"]
        lines.append(f"a=group:BUNDLE {_AUDIO}" + (f" {_DATA}" if self._data else ""))
        if _values(self._session, "ice-lite") or self._transport.all("ice-lite"):
            lines.append("a=ice-lite")
        lines += [
            f"m=audio 9 UDP/TLS/RTP/SAVPF {self._payload_type}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{_AUDIO}",
            f"a={self._direction}",
            "a=rtcp-mux",
            f"a=rtpmap:{self._payload_type} opus/48000/2",
            *transport,
        ]
        if self._data is not None:
            lines += [*self._data_lines, f"a=mid:{_DATA}", *transport]
        return "\r\n".join(lines) + "\r\n"

    def answer(self, sdp: str) -> str:
        """Put aiortc's answer to `for_aiortc` into the order of the browser's media lines.

        Args:
            sdp: aiortc's answer.

        Returns:
            The answer for the browser, with a line for each of its own.
        """
        session, *sections = re.split(r"^(?=m=)", sdp.replace("\r\n", "\n"), flags=re.MULTILINE)
        audio = sections[0].splitlines()
        data = sections[1].splitlines() if len(sections) > 1 else []
        port = audio[0].split()[1]
        transport = [line for line in audio if line.startswith(_TRANSPORT)]
        bundled: list[str] = []
        media: list[str] = []
        for one in self._media:
            if one is self._audio or one is self._data:
                head, *below = audio if one is self._audio else data
                fields = head.split()
                media.append(" ".join([*fields[:2], one.protocol, *fields[3:]]))
                media += [*_mid_line(one), *(line for line in below if not line.startswith("a=mid:"))]
            elif self._stays(one):
                media += [
                    f"m={one.kind} {port} {one.protocol} {one.formats[0]}",
                    *_mid_line(one),
                    "a=inactive",
                ]
                media += [
                    f"a=rtpmap:{text}" for text in one.all("rtpmap") if text.split()[:1] == [one.formats[0]]
                ]
                media += transport
            else:
                media += [f"m={one.kind} 0 {one.protocol} {' '.join(one.formats)}", "c=IN IP4 0.0.0.0"]
                media += _mid_line(one)
                continue
            if one.mid is not None:
                bundled.append(one.mid)
        lines = [line for line in session.splitlines() if not line.startswith("a=group:")]
        if self._bundle:
            order = " ".join(mid for mid in self._bundle if mid in bundled)
            lines.append(f"a=group:BUNDLE {order}")
        return "\r\n".join([*lines, *media]) + "\r\n"

    # ------------------------------------------------------------------ later

    def is_same_audio(self, earlier: SessionOffer) -> bool:
        """Return whether this offer's audio is on the line of an earlier offer's audio."""
        return self._audio.index == earlier._audio.index

    def is_for_us(self, mid: str | None, index: int | None) -> bool:
        """Return whether a trickled candidate belongs to the transport that is used.

        Browsers gather candidates for each line before they know that all lines share one transport.

        Args:
            mid: The line's name as the browser has it, if it was sent.
            index: The line's number, if it was sent.
        """
        known = {one.mid for one in self._media}
        if mid and mid in known:
            return mid == self._transport.mid
        if index is not None and index < len(self._media):
            return index == self._transport.index
        return (
            True  # of a line that there is not: there is one transport, so it can be meant for nothing else
        )

    # ------------------------------------------------------------------ what is used

    def _choose_audio(self, bundles: Iterable[Sequence[str]]) -> tuple[MediaOffer, int, str]:
        """Return the audio line that is the most useful, with its payload type of Opus and its direction."""
        names = {mid for bundle in bundles for mid in bundle}
        usable: list[tuple[MediaOffer, int, str]] = []
        refused: list[OfferError] = []
        for one in self._media:
            if one.kind == "audio" and _is_offered(one, names):
                try:
                    usable.append((one, _opus(one), self._direction_of(one)))
                except OfferError as error:
                    refused.append(error)
        if usable:
            return min(usable, key=lambda audio: _DIRECTIONS.index(audio[2]))
        if refused:
            raise refused[0]
        raise OfferError("the offer has no audio: add an audio transceiver before createOffer()")

    def _choose_transport(self) -> MediaOffer:
        """Return the line whose ICE and DTLS count: the first of the bundle that has a port (RFC 9143,
        7.3.1).
        """
        if not self._bundle:
            return self._audio
        for mid in self._bundle:
            for one in self._media:
                if one.mid == mid and one.port != 0 and one.kind in ("audio", "video", "application"):
                    return one
        raise OfferError("the offer's audio is in a bundle without a port")

    def _choose_data(self) -> MediaOffer | None:
        """Return the data channel's line. One that is not bundled with the audio would need a transport of
        its own.
        """
        return next(
            (
                one
                for one in self._media
                if one.kind == "application" and one.protocol.endswith("DTLS/SCTP")
                if one.mid in self._bundle and _is_offered(one, self._bundle)
            ),
            None,
        )

    def _stays(self, media: MediaOffer) -> bool:
        """Return whether a line that is not used is answered as inactive, and not rejected."""
        return (
            media.kind in ("audio", "video")
            and media.mid in self._bundle
            and _is_offered(media, self._bundle)
        ) or media is self._transport

    def _direction_of(self, media: MediaOffer) -> str:
        for lines in (media.lines, self._session):
            said = {
                line[2:].strip() for line in lines if line[2:].strip() in _DIRECTIONS and line[:2] == "a="
            }
            if len(said) > 1:
                raise OfferError(f"the offer's audio has two directions: {' and '.join(sorted(said))}")
            if said == {"inactive"}:
                raise OfferError("the offer's audio is inactive: nobody would hear or be heard")
            if said:
                return said.pop()
        return "sendrecv"

    def _transport_value(self, name: str) -> str | None:
        mine = _value(self._transport.lines, name, "the offer")
        return _value(self._session, name, "the offer") if mine is None else mine

    def _setup(self) -> str:
        role = self._transport_value("setup") or "actpass"
        if role not in ("actpass", "active", "passive"):
            raise OfferError(f"the offer's a=setup cannot be read: {role[:40]!r}")
        return role

    def _fingerprints(self) -> list[str]:
        found = []
        for text in self._transport.all("fingerprint") or _values(self._session, "fingerprint"):
            algorithm, _, value = text.partition(" ")
            algorithm, value = algorithm.lower(), value.strip()
            if algorithm not in _FINGERPRINT_BYTES:
                continue  # of an algorithm that is not known here: another one may be
            if not _HEX_BYTES.fullmatch(value) or len(value) != 3 * _FINGERPRINT_BYTES[algorithm] - 1:
                raise OfferError(f"the offer's {algorithm} fingerprint cannot be read")
            found.append(f"{algorithm} {value}")
        if not found:
            raise OfferError("the offer has no DTLS fingerprint: audio must be encrypted (SHA-256 or longer)")
        return found


def parse_candidate(text: str) -> IceCandidate | None:
    """Read an ICE candidate.

    Args:
        text: A candidate as SDP or a browser's API has it, with or without ``a=candidate:`` before it.

    Returns:
        The candidate, or None if it cannot be used here: over TCP, for RTCP alone, or malformed.
    """
    words = text.strip().removeprefix("a=").removeprefix("candidate:").split()
    if len(words) < 8 or words[6] != "typ":
        return None
    foundation, component, protocol, priority, host, port, _, kind = words[:8]
    if component != "1" or protocol.lower() != "udp" or not _is_number(priority, 2**32 - 1):
        return None
    if not _is_number(port, 65_535) or int(port) == 0:
        return None
    is_name = host.lower().endswith(".local")
    if not is_name and not _is_address(host):
        return None
    return IceCandidate(f"{foundation} 1 udp {priority} {host} {port} typ {kind}", is_name)


def _split(sdp: str) -> tuple[list[str], list[MediaOffer]]:
    """Return the lines of the session, and the media lines."""
    lines = [line.rstrip("\r") for line in sdp.split("\n")]
    starts = [number for number, line in enumerate(lines) if line.startswith("m=")]
    if not lines[0].startswith("v=0"):
        raise OfferError("the offer's SDP cannot be read: it does not begin with v=0")
    if len(starts) > MAX_MEDIA:
        raise OfferError(f"the offer has {len(starts)} media: {MAX_MEDIA} are the limit")
    media = []
    for index, (start, end) in enumerate(pairwise([*starts, len(lines)])):
        words = lines[start][2:].split()
        port = words[1].partition("/")[0] if len(words) > 3 else ""
        if not _is_number(port, 65_535):
            raise OfferError(f"the offer's SDP cannot be read: {lines[start][:80]!r}")
        media.append(
            MediaOffer(index, words[0], int(port), words[2], tuple(words[3:]), tuple(lines[start + 1 : end]))
        )
    return lines[: starts[0]] if starts else lines, media


def _values(lines: Iterable[str], name: str) -> list[str]:
    """Return the values of all attributes of this name; an empty text if an attribute has no value."""
    found = []
    for line in lines:
        if line.startswith("a="):
            key, _, value = line[2:].partition(":")
            if key == name:
                found.append(value.strip())
    return found


def _value(lines: Iterable[str], name: str, where: str) -> str | None:
    """Return the value of an attribute that may be there once. Raises `OfferError` if it has two values."""
    values = set(_values(lines, name))
    if len(values) > 1:
        raise OfferError(f"{where} has a={name} twice, with different values")
    return values.pop() if values else None


def _is_offered(media: MediaOffer, bundled: Collection[str]) -> bool:
    """Return whether a line is offered: with a port, or without one because it has that of its bundle."""
    return media.port != 0 or (bool(media.all("bundle-only")) and media.mid in bundled)


def _is_opus(rtpmap: str) -> bool:
    return rtpmap.partition(" ")[2].strip().lower().startswith("opus/")


def _opus(audio: MediaOffer) -> int:
    """Return the payload type of Opus."""
    for text in audio.all("rtpmap"):
        payload_type, _, codec = text.partition(" ")
        if not _is_opus(text) or payload_type not in audio.formats:
            continue
        if codec.strip().lower() != "opus/48000/2":
            raise OfferError(
                f"the offer's audio cannot be answered: Opus is opus/48000/2 (RFC 7587), not {codec[:40]!r}"
            )
        if not _is_number(payload_type, 127) or 72 <= int(payload_type) <= 76:  # those are RTCP's (RFC 5761)
            raise OfferError(f"the offer's audio cannot be answered: payload type {payload_type[:40]!r}")
        return int(payload_type)
    raise OfferError("the offer's audio has no Opus, which is what is spoken here")


def _data_lines(data: MediaOffer) -> list[str]:
    """Return the lines of a data channel, for aiortc."""
    port = _value(data.lines, "sctp-port", "the offer")
    size = _value(data.lines, "max-message-size", "the offer") or str(MESSAGE_SIZE)
    legacy = data.protocol == "DTLS/SCTP"  # of before RFC 8841: the port is in the media line
    port = data.formats[0] if legacy else port
    if port is None or not _is_number(port, 65_535) or int(port) == 0:
        raise OfferError("the offer's data channel has no a=sctp-port that can be read")
    if not _is_number(size, 2**64):
        raise OfferError("the offer's a=max-message-size cannot be read")
    head = f"DTLS/SCTP {port}" if legacy else "UDP/DTLS/SCTP webrtc-datachannel"
    port_line = f"a=sctpmap:{port} webrtc-datachannel 65535" if legacy else f"a=sctp-port:{port}"
    return [f"m=application 9 {head}", "c=IN IP4 0.0.0.0", port_line, f"a=max-message-size:{size}"]


def _mid_line(media: MediaOffer) -> list[str]:
    return [] if media.mid is None else [f"a=mid:{media.mid}"]


def _is_number(text: str, limit: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= limit


def _is_address(host: str) -> bool:
    try:
        return "%" not in host and not ip_address(host).is_unspecified
    except ValueError:
        return False
