"""The bot's packets: on the clock across pauses, closed by silence, and never far ahead."""

from __future__ import annotations

from itertools import pairwise

from piopiy_pipeline.audio.opus import OpusDecoder
from piopiy_pipeline.gateway.rtp.packet import RtpPacket, parse_rtp
from piopiy_pipeline.gateway.webrtc.downlink import Downlink
from tests.support.browser_peer import tone

FRAME = tone(440, 0.02, 16000).astype("<i2").tobytes()


def make() -> Downlink:
    return Downlink(16000, payload_type=111, ssrc=5, now=100.0)


def parsed(packet: bytes | None) -> RtpPacket:
    assert packet is not None
    return parse_rtp(packet)


def test_frames_in_a_row_have_timestamps_in_a_row_however_unevenly_they_come() -> None:
    downlink = make()
    packets = [parsed(downlink.send_audio(FRAME, at)) for at in (100.0, 100.021, 100.048, 100.052, 100.08)]
    steps = [(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(packets)]
    assert steps == [960] * 4
    assert [packet.marker for packet in packets] == [True, False, False, False, False]
    assert [packet.sequence - packets[0].sequence for packet in packets] == [0, 1, 2, 3, 4]


def test_a_pause_is_in_the_timestamps_and_no_packet_is_missing() -> None:
    downlink = make()
    before = parsed(downlink.send_audio(FRAME, 100.0))
    close_at = downlink.close_at
    assert close_at is not None
    assert 100.02 <= close_at <= 100.04
    closing = parsed(downlink.close())
    assert downlink.close_at is None
    after = parsed(downlink.send_audio(FRAME, 102.0))
    assert after.timestamp - before.timestamp & 0xFFFFFFFF == 2 * 48000
    assert (after.sequence - before.sequence, after.marker) == (2, True)
    decoder = OpusDecoder(16000)
    decoder.decode(before.payload)
    assert len(decoder.decode(closing.payload)) == len(FRAME)
    assert downlink.timestamp(102.0) == after.timestamp


def test_a_bunch_of_late_frames_is_bounded() -> None:
    downlink = make()
    parsed(downlink.send_audio(FRAME, 100.0))
    sent = [downlink.send_audio(FRAME, 101.0) for _ in range(50)]
    assert 4 <= sum(packet is not None for packet in sent) <= 7
    assert downlink.dropped == sum(packet is None for packet in sent)
