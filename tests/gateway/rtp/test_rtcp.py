"""RTCP's bytes: RFC 3550, section 6 and appendix A.2."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.rtp.packet import RtpError
from piopiy_pipeline.gateway.rtp.rtcp import ReportBlock, RtcpReport, build_goodbye, build_report, parse_rtcp

words = st.integers(0, 2**32 - 1)
blocks = st.builds(
    ReportBlock,
    ssrc=words,
    fraction_lost=st.integers(0, 255).map(lambda n: n / 256),
    lost=st.integers(-0x800000, 0x7FFFFF),
    highest=words,
    jitter=words,
    last_report=words,
    delay=words,
)


@given(words, st.none() | st.integers(0, 2**64 - 1), words, words, words, st.lists(blocks, max_size=3))
def test_what_is_built_is_read_again(
    ssrc: int, ntp: int | None, timestamp: int, packets: int, octets: int, lines: list[ReportBlock]
) -> None:
    sent = (timestamp, packets, octets) if ntp is not None else (0, 0, 0)
    report = RtcpReport(ssrc, ntp, *sent, blocks=tuple(lines))
    built = build_report(report, "phone@gateway") + build_goodbye(ssrc)
    assert len(built) % 4 == 0
    assert parse_rtcp(built) == ([report], True)


def test_a_report_is_followed_by_the_name_of_who_reports() -> None:
    built = build_report(RtcpReport(0xCAFE), "me")
    assert built[:8] == struct.pack("!BBHI", 0x80, 201, 1, 0xCAFE)
    assert built[8:] == struct.pack("!BBHIBB", 0x81, 202, 2, 0xCAFE, 1, 2) + b"me" + b"\0" * 4 or built[
        8:
    ] == struct.pack("!BBHIBB", 0x81, 202, 3, 0xCAFE, 1, 2) + b"me" + bytes(4)


@pytest.mark.parametrize("length", range(12))
def test_names_of_any_length_end_on_a_word(length: int) -> None:
    built = build_report(RtcpReport(1), "n" * length)
    _, kind, size = struct.unpack_from("!BBH", built, 8)
    assert kind == 202
    assert len(built) == 8 + 4 + 4 * size
    assert built[-1] == 0


def test_what_a_report_has_beyond_our_knowledge_is_passed_over() -> None:
    extended = struct.pack("!BBH", 0x80, 207, 1) + bytes(4)
    receiver = struct.pack("!BBHI", 0x80, 201, 2, 7) + b"more"
    assert parse_rtcp(receiver + extended) == ([RtcpReport(7)], False)


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "empty"),
        (b"\x80\xc9\x00", "3 bytes at the end"),
        (struct.pack("!BBHI", 0x40, 201, 1, 7), "version 1"),
        (struct.pack("!BBHI", 0x80, 201, 9, 7), "longer than what came"),
        (struct.pack("!BBHI", 0x81, 201, 1, 7), "with 1 blocks"),
        (struct.pack("!BBHI", 0x80, 200, 1, 7), "report of 4 bytes"),
        (struct.pack("!BBH", 0x80, 201, 0), "report of 0 bytes"),
        (struct.pack("!BBHI", 0x80, 201, 1, 7) + b"\x80", "1 bytes at the end"),
    ],
)
def test_what_cannot_be_a_report_is_refused_with_its_reason(datagram: bytes, why: str) -> None:
    with pytest.raises(RtpError, match=why):
        parse_rtcp(datagram)
