"""Whatever comes from the network: no exception, and nothing grows."""

from __future__ import annotations

import struct
from contextlib import suppress
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.rtp.packet import RtpError, build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.receiver import MAX_CANDIDATES
from piopiy_pipeline.gateway.rtp.rtcp import ReportBlock, RtcpReport, build_report, parse_rtcp
from piopiy_pipeline.gateway.rtp.session import RtpSession
from piopiy_pipeline.gateway.sip.sdp.negotiation import CODECS, AgreedMedia, MediaFormat

EVENTS = MediaFormat(101, "telephone-event", 8000)
SOURCES = [("127.0.0.1", 30_000), ("127.0.0.1", 30_002), ("192.0.2.1", 5)]
REPORT = build_report(RtcpReport(7, 1 << 40, 5, 6, 7, (ReportBlock(1, 0.5, 3, 4, 5, 6, 7),)), "phone")

payloads = st.sampled_from(
    [b"", b"\xff" * 160, struct.pack("!BBH", 5, 10, 160), b"\xfc", bytes(3000)]
) | st.binary(max_size=400)
voices = st.builds(
    build_rtp,
    st.sampled_from([0, 8, 9, 13, 96, 101, 127]),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 2, 3]) | st.integers(0, 2**32 - 1),
    payloads,
    marker=st.booleans(),
)
mutations = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4)


def mutated(datagram: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    data = bytearray(datagram)
    for at, value in changes:
        if at < len(data):
            data[at] = value
    return bytes(data[: len(data) - cut])


datagrams = (
    st.binary(max_size=200)
    | voices
    | st.builds(mutated, voices | st.just(REPORT), mutations, st.sampled_from([0, 0, 1, 4, 150]))
)
arrivals = st.lists(
    st.tuples(datagrams, st.sampled_from(SOURCES), st.floats(0, 0.05), st.booleans()), min_size=1, max_size=60
)


@settings(max_examples=2000, deadline=None)
@given(datagrams)
def test_a_datagram_is_a_packet_or_is_refused(datagram: bytes) -> None:
    for parse in (parse_rtp, parse_rtcp):
        with suppress(RtpError):
            parse(datagram)


@settings(max_examples=250, deadline=None)
@given(arrivals, st.sampled_from(["PCMU", "G722", "opus"]))
def test_a_call_survives_whatever_comes(
    coming: list[tuple[bytes, tuple[str, int], float, bool]], name: str
) -> None:
    codec = CODECS[name]
    agreed = AgreedMedia(
        host=SOURCES[0][0],
        port=SOURCES[0][1],
        codec=codec,
        receive=(codec,),
        events_out=EVENTS,
        events_in=(EVENTS,),
        sends=True,
        receives=True,
        rtcp_port=SOURCES[0][1] + 1,
    )
    one = RtpSession(agreed, now=0.0, wall_s=0.0, cname="fuzz", rng=Random(1))
    now = 0.0
    for datagram, source, later, rtcp in coming:
        now += later
        if rtcp:
            one.receive_rtcp(datagram, source, now)
        else:
            assert len(one.receive(datagram, source, now)) <= 1
        pcm, rtp, _ = one.tick(now)
        assert len(pcm) in [one.rate // 50 * 2 * ticks for ticks in (1, 2, 3)]
        assert rtp is None or len(rtp) < 500
    quality = one.quality(now)
    assert all(value >= 0 for value in quality.values())
    assert len(one._receiver._candidates) <= MAX_CANDIDATES
