"""RTP packets: what is built is read again, and what cannot be a packet is refused with its reason."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.gateway.rtp.packet import RtpError, RtpPacket, build_rtp, is_rtcp, parse_rtp

VOICE = build_rtp(0, 7, 1120, 0xCAFE, b"\xff" * 160)


def test_a_packet_has_the_bytes_that_the_rfc_draws() -> None:
    assert build_rtp(101, 0x1234, 0x01020304, 0xA0B0C0D0, b"\x05\x0a\x00\xa0", marker=True) == bytes.fromhex(
        "80e5 1234 01020304 a0b0c0d0 050a00a0"
    )


@given(
    st.integers(0, 127),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=300),
    st.booleans(),
)
def test_what_is_built_is_read_again(
    payload_type: int, sequence: int, timestamp: int, payload: bytes, marker: bool
) -> None:
    packet = RtpPacket(payload_type, marker, sequence, timestamp, 0xFFFFFFFF, payload)
    built = build_rtp(payload_type, sequence, timestamp, 0xFFFFFFFF, payload, marker=marker)
    assert parse_rtp(built) == packet


def test_contributing_sources_an_extension_and_padding_are_passed_over() -> None:
    header = struct.pack("!BBHII", 0x80 | 0x20 | 0x10 | 2, 8, 1, 2, 3)
    extension = struct.pack("!HH", 0xBEDE, 1) + b"\x10\xff\x00\x00"
    packet = parse_rtp(header + b"\x01" * 8 + extension + b"voice" + b"\x00\x00\x03")
    assert packet == RtpPacket(8, False, 1, 2, 3, b"voice")


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "0 bytes"),
        (VOICE[:11], "11 bytes"),
        (b"\x40" + VOICE[1:], "version 1"),
        (b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12), "version 0"),  # STUN
        (b"\x8f" + VOICE[1:40], "longer than the packet"),
        (b"\x90" + VOICE[1:14], "extension is cut off"),
        (b"\x90" + VOICE[1:12] + b"\xbe\xde\xff\xff", "longer than the packet"),
        (b"\xa0" + VOICE[1:-1] + b"\x00", "padding of 0"),
        (b"\xa0" + VOICE[1:-1] + b"\xff", "padding of 255"),
    ],
)
def test_what_cannot_be_a_packet_is_refused_with_its_reason(datagram: bytes, why: str) -> None:
    with pytest.raises(RtpError, match=why):
        parse_rtp(datagram)


def test_reports_on_the_same_port_are_told_apart() -> None:
    assert is_rtcp(b"\x80\xc8" + bytes(26))
    assert is_rtcp(b"\x81\xc9" + bytes(30))
    assert not is_rtcp(VOICE)
    assert not is_rtcp(build_rtp(101, 1, 1, 1, bytes(4), marker=True))
    assert not is_rtcp(b"\x80")
