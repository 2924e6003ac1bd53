"""RTCP packets: parsing and building of the reports of both sides. No I/O.

Sender reports, receiver reports and goodbyes are parsed; names, application packets and feedback are skipped.

Source: RFC 3550, section 6 and appendix A.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from piopiy_pipeline.gateway.rtp.packet import RtpError

__all__ = ["ReportBlock", "RtcpReport", "build_goodbye", "build_report", "parse_rtcp"]

_HEADER = Struct("!BBH")
_SSRC = Struct("!I")
_SENDER = Struct("!IIIII")
_BLOCK = Struct("!IIIIII")
_SR, _RR, _SDES, _BYE = 200, 201, 202, 203
_CNAME = 1


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """The reception of one source. `jitter` is in units of the stream's clock, times are in 1/65536 s."""

    ssrc: int
    fraction_lost: float
    lost: int
    highest: int
    jitter: int
    last_report: int
    """The middle 32 bits of the NTP time of the last sender report of the source; 0: none came."""
    delay: int
    """The time since that report arrived."""


@dataclass(frozen=True, slots=True)
class RtcpReport:
    """A sender report, or, when `ntp` is None, a receiver report.

    `ntp` is the wall clock as RTCP counts it (32 bits of seconds since 1900, 32 bits of fraction),
    `timestamp` the same moment on the stream's own clock.
    """

    ssrc: int
    ntp: int | None = None
    timestamp: int = 0
    packets: int = 0
    octets: int = 0
    blocks: tuple[ReportBlock, ...] = ()


def parse_rtcp(datagram: bytes) -> tuple[list[RtcpReport], bool]:
    """Parse a compound packet.

    Returns:
        Its reports, and whether it has a goodbye.

    Raises:
        RtpError: A version or a length is wrong; then nothing of the packet counts.
    """
    reports: list[RtcpReport] = []
    goodbye = False
    at = 0
    if not datagram:
        raise RtpError("an empty RTCP packet")
    while at < len(datagram):
        if len(datagram) - at < 4:
            raise RtpError(f"{len(datagram) - at} bytes at the end of an RTCP packet")
        flags, kind, words = _HEADER.unpack_from(datagram, at)
        end = at + 4 + 4 * words
        if flags >> 6 != 2:
            raise RtpError(f"version {flags >> 6}: RTCP is version 2")
        if end > len(datagram):
            raise RtpError("an RTCP packet that is longer than what came")
        if kind in (_SR, _RR):
            reports.append(_parse_report(datagram[at + 4 : end], kind, flags & 0x1F))
        goodbye = goodbye or kind == _BYE
        at = end
    return reports, goodbye


def build_report(report: RtcpReport, cname: str) -> bytes:
    """Build a compound packet: the report, and the name that section 6.1 demands."""
    body = _SSRC.pack(report.ssrc)
    if report.ntp is not None:
        body += _SENDER.pack(
            report.ntp >> 32 & 0xFFFFFFFF,
            report.ntp & 0xFFFFFFFF,
            report.timestamp & 0xFFFFFFFF,
            report.packets & 0xFFFFFFFF,
            report.octets & 0xFFFFFFFF,
        )
    for block in report.blocks:
        lost = max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF
        fraction = min(int(block.fraction_lost * 256), 255)
        body += _BLOCK.pack(
            block.ssrc,
            fraction << 24 | lost,
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.last_report,
            min(block.delay, 0xFFFFFFFF),
        )
    kind = _RR if report.ntp is None else _SR
    name = cname.encode()[:255]
    chunk = _SSRC.pack(report.ssrc) + bytes((_CNAME, len(name))) + name
    chunk += bytes(4 - len(chunk) % 4)  # at least one: it ends the list
    return _packet(kind, len(report.blocks), body) + _packet(_SDES, 1, chunk)


def build_goodbye(ssrc: int) -> bytes:
    """Build the packet that follows the last report of a source."""
    return _packet(_BYE, 1, _SSRC.pack(ssrc))


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _parse_report(body: bytes, kind: int, count: int) -> RtcpReport:
    start = 24 if kind == _SR else 4
    if len(body) < start + count * 24:
        raise RtpError(f"an RTCP report of {len(body)} bytes with {count} blocks")
    blocks = []
    for index in range(count):
        ssrc, loss, highest, jitter, last_report, delay = _BLOCK.unpack_from(body, start + index * 24)
        lost = loss & 0xFFFFFF
        blocks.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=(loss >> 24) / 256,
                lost=lost - 0x1000000 if lost & 0x800000 else lost,
                highest=highest,
                jitter=jitter,
                last_report=last_report,
                delay=delay,
            )
        )
    ssrc = _SSRC.unpack_from(body)[0]
    if kind == _RR:
        return RtcpReport(ssrc, blocks=tuple(blocks))
    seconds, fraction, timestamp, packets, octets = _SENDER.unpack_from(body, 4)
    return RtcpReport(ssrc, seconds << 32 | fraction, timestamp, packets, octets, tuple(blocks))
