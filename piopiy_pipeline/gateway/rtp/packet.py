"""RTP packets: parsing with checks, because anybody can send them, and building. No I/O.

Source: RFC 3550, section 5.1 and appendix A.1; RFC 5761, section 4 for telling RTCP apart on one port.
"""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

__all__ = ["MAX_DATAGRAM", "RtpError", "RtpPacket", "build_rtp", "is_rtcp", "parse_rtp"]

MAX_DATAGRAM = 2048
"""Datagrams are cut off at this many bytes when they are read; no audio packet is nearly as long."""

_HEADER = Struct("!BBHII")
_EXTENSION = Struct("!2xH")


class RtpError(ValueError):
    """A datagram that is not an RTP or RTCP packet; the text says why."""


class RtpPacket(NamedTuple):
    """One RTP packet. `sequence` counts modulo 2^16, `timestamp` modulo 2^32 in units of the payload's clock."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def is_rtcp(datagram: bytes) -> bool:
    """Return whether a datagram that came to a port for both is RTCP (RFC 5761, section 4)."""
    return len(datagram) >= 2 and 192 <= datagram[1] <= 223


def parse_rtp(datagram: bytes) -> RtpPacket:
    """Parse a datagram. Contributing sources and header extensions are skipped.

    Raises:
        RtpError: The version, the padding or a length is wrong.
    """
    size = len(datagram)
    if size < 12:
        raise RtpError(f"{size} bytes: an RTP header has 12")
    flags, kind, sequence, timestamp, ssrc = _HEADER.unpack_from(datagram)
    if flags & 0xC0 != 0x80:
        raise RtpError(f"version {flags >> 6}: RTP is version 2")
    start = 12
    if flags != 0x80:
        start += 4 * (flags & 0x0F)
        if flags & 0x10:
            if size < start + 4:
                raise RtpError("the header extension is cut off")
            start += 4 + 4 * _EXTENSION.unpack_from(datagram, start)[0]
        if flags & 0x20:
            padding = datagram[-1]
            if not 0 < padding <= size - start:
                raise RtpError(f"padding of {padding} bytes in a packet of {size}")
            size -= padding
        if start > size:
            raise RtpError("the header is longer than the packet")
    return RtpPacket(kind & 0x7F, kind > 0x7F, sequence, timestamp, ssrc, datagram[start:size])


def build_rtp(
    payload_type: int, sequence: int, timestamp: int, ssrc: int, payload: bytes, *, marker: bool = False
) -> bytes:
    """Build an RTP packet without padding, header extension or contributing sources.

    Args:
        payload_type: 0 to 127.
        sequence: The sequence number, modulo 2^16.
        timestamp: The timestamp in units of the payload's clock, modulo 2^32.
        ssrc: The synchronization source, 32 bits.
        payload: The encoded audio.
        marker: The marker bit, which is set at the beginning of a stretch of speech.
    """
    return _HEADER.pack(0x80, payload_type | (marker << 7), sequence, timestamp, ssrc) + payload
