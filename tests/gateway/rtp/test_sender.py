"""What is sent to a phone: a packet every 20 ms, without a hole, whatever the bot does."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import pytest

from piopiy_pipeline.gateway.rtp.codecs import make_codec
from piopiy_pipeline.gateway.rtp.dtmf import KEYS
from piopiy_pipeline.gateway.rtp.packet import RtpPacket, parse_rtp
from piopiy_pipeline.gateway.rtp.sender import RtpSender, key_tone
from piopiy_pipeline.gateway.sip.sdp.session_description import MediaFormat
from tests.support.agents import logged

SILENCE = b"\xff" * 160
VOICE = (np.arange(160) * 100).astype("<i2").tobytes()


def sender(event_type: int | None = 101, codec: str = "PCMU", event_clock: int = 8000) -> RtpSender:
    events = MediaFormat(event_type, "telephone-event", event_clock) if event_type is not None else None
    return RtpSender(codec=make_codec(codec), payload_type=0, events=events, rng=Random(1))


def ticks(one: RtpSender, count: int, *, start: float = 0.0, voice: bool = False) -> list[RtpPacket]:
    packets = []
    for tick in range(count):
        said = one.speech(VOICE) if voice else None
        quiet = one.filler(start + tick * 0.02)
        assert (said is None) or (quiet is None)
        if said or quiet:
            packets.append(parse_rtp(said or quiet or b""))
    return packets


def steps(packets: list[RtpPacket]) -> list[tuple[int, int]]:
    """How sequence and timestamp go on from packet to packet."""
    return [
        ((b.sequence - a.sequence) & 0xFFFF, (b.timestamp - a.timestamp) & 0xFFFFFFFF)
        for a, b in itertools.pairwise(packets)
    ]


def test_voice_and_silence_are_one_stream() -> None:
    one = sender()
    packets = ticks(one, 5) + ticks(one, 5, start=0.1, voice=True) + ticks(one, 5, start=0.2)
    assert steps(packets) == [(1, 160)] * 14
    assert [packet.payload == SILENCE for packet in packets] == [True] * 5 + [False] * 5 + [True] * 5
    assert [packet.marker for packet in packets] == [True] + [False] * 14
    assert (one.packets, one.octets) == (15, 2400)
    assert one.timestamp == packets[-1].timestamp


def test_the_voice_may_begin_before_the_first_tick() -> None:
    one = sender()
    packets = ticks(one, 3, voice=True) + ticks(one, 3, start=0.06)
    assert steps(packets) == [(1, 160)] * 5


def test_opus_counts_at_48_khz() -> None:
    one = RtpSender(codec=make_codec("opus"), payload_type=111, events=None, rng=Random(1))
    assert steps(ticks(one, 3)) == [(1, 960)] * 2


def test_behind_a_stall_the_time_has_gone_on() -> None:
    one = sender()
    packets = ticks(one, 5) + ticks(one, 2, start=0.38)
    assert steps(packets) == [(1, 160)] * 4 + [(1, 15 * 160), (1, 160)]


def test_frames_that_catch_up_are_one_stream_too() -> None:
    one = sender()
    packets = ticks(one, 2)
    packets += [parse_rtp(one.speech(VOICE) or b"") for _ in range(4)]
    assert one.filler(0.1) is None
    packets += ticks(one, 2, start=0.12)
    assert steps(packets) == [(1, 160)] * 7


def test_while_the_peer_holds_us_nothing_is_sent_and_then_it_goes_on_with_a_marker() -> None:
    one = sender()
    before = ticks(one, 2)
    one.held = True
    assert ticks(one, 50, start=0.04, voice=True) == []
    one.held = False
    after = ticks(one, 2, start=1.04)
    assert steps([*before[1:], *after]) == [(1, 51 * 160), (1, 160)]
    assert after[0].marker


def test_a_key_takes_the_place_of_the_voice() -> None:
    one = sender()
    ticks(one, 2)
    one.press("7")
    packets = ticks(one, 20, start=0.04, voice=True)
    keys = [packet for packet in packets if packet.payload_type == 101]
    assert len(keys) == 10
    assert [key.marker for key in keys] == [True] + [False] * 9
    assert len({key.timestamp for key in keys}) == 1
    assert [number for number, _ in steps(packets)] == [1] * 19
    voices = [packet for packet in packets if packet.payload_type == 0]
    assert voices[0].timestamp - keys[0].timestamp == 10 * 160


def test_the_voice_is_heard_in_the_pauses_between_keys() -> None:
    one = sender()
    one.press("12")
    packets = ticks(one, 40, voice=True)
    assert [packet.payload_type for packet in packets] == ([101] * 10 + [0] * 4) * 2 + [0] * 12
    assert len({packet.timestamp for packet in packets if packet.payload_type == 101}) == 2


def test_keys_are_tones_where_the_peer_takes_no_events() -> None:
    one = sender(event_type=None)
    one.press("5#")
    packets = ticks(one, 30)
    assert {packet.payload_type for packet in packets} == {0}
    assert [packet.payload != SILENCE for packet in packets] == ([True] * 8 + [False] * 4) * 2 + [False] * 6


@pytest.mark.parametrize(
    ("key", "hz"), [("1", (697, 1209)), ("5", (770, 1336)), ("#", (941, 1477)), ("D", (941, 1633))]
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_key_has_its_two_tones(key: str, hz: tuple[int, int], rate: int) -> None:
    tone = np.frombuffer(b"".join(key_tone(key, rate)[:8]), np.int16)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(tone.size)))
    low, high = (int(f * tone.size / rate + 0.5) for f in (1000, 2000))
    assert abs(int(spectrum[:low].argmax()) * rate / tone.size - hz[0]) < 7
    assert abs((int(spectrum[low:high].argmax()) + low) * rate / tone.size - hz[1]) < 7


@pytest.mark.parametrize("event_type", [None, 101])
def test_what_is_no_key_is_refused(event_type: int | None) -> None:
    with pytest.raises(ValueError, match=r"no key|substring"):
        sender(event_type).press("x")


def test_keys_beside_opus_have_their_own_clock_in_their_durations_alone() -> None:
    """As Asterisk and baresip send them: the timestamps are those of one stream, at 48 kHz."""
    one = sender(codec="opus", event_clock=8000)
    ticks(one, 2)
    one.press("5")
    packets = ticks(one, 10, start=0.04)
    assert {packet.timestamp for packet in packets} == {packets[0].timestamp}
    assert [int.from_bytes(packet.payload[2:4]) for packet in packets] == [160 * n for n in range(1, 9)] + [
        1280
    ] * 2
    after = ticks(one, 1, start=0.24)[0]
    assert (after.timestamp - packets[0].timestamp) & 0xFFFFFFFF == 10 * 960


def test_a_key_that_is_pressed_behind_the_voice_of_a_frame_is_whole_and_has_a_time_of_its_own() -> None:
    """Voice goes out at the frame tick, and the rest 10 ms later: an agent's keys come in between, too."""
    one = sender()
    ticks(one, 2)
    packets = []
    for tick in range(60):
        said = one.speech(VOICE)
        if tick in (5, 30):
            one.press("1")
        packets += [parse_rtp(each) for each in (said, one.filler(0.04 + tick * 0.02)) if each]
    keys = [packet for packet in packets if packet.payload_type == 101]
    assert [key.marker for key in keys] == ([True] + [False] * 9) * 2
    first, second = (keys[at].timestamp for at in (0, 10))
    assert (second - first) & 0xFFFFFFFF == 25 * 160
    assert [packet.payload_type for packet in packets[:6]] == [0] * 6


def keys_of(packets: list[RtpPacket]) -> list[tuple[str, int]]:
    """Each key that began in events, and how many packets it has."""
    keys: list[tuple[str, int]] = []
    for packet in packets:
        if packet.payload_type in (101, 97):
            if packet.marker:
                keys.append((KEYS[packet.payload[0]], 0))
            keys[-1] = (keys[-1][0], keys[-1][1] + 1)
    return keys


@pytest.mark.parametrize(("codec", "clock"), [("PCMA", 8000), ("opus", 8000), ("opus", 48000)])
def test_keys_that_wait_are_sent_though_the_codec_changes(codec: str, clock: int) -> None:
    one = sender()
    one.press("123")
    packets = ticks(one, 5)
    events = MediaFormat(97, "telephone-event", clock)
    one.agree(codec=make_codec(codec, 8000), payload_type=8, events=events)
    packets += ticks(one, 60, start=0.1)
    assert keys_of(packets) == [("1", 10), ("2", 10), ("3", 10)]
    first = [packet for packet in packets if packet.payload_type != 8][:10]
    assert len({packet.timestamp for packet in first}) == 1, "a key has the time of its beginning to its end"
    assert int.from_bytes(first[-1].payload[2:4]) == 8 * clock // 50


def test_keys_that_wait_become_tones_where_the_peer_takes_no_events_any_more() -> None:
    one = sender()
    one.press("123")
    ticks(one, 5)
    one.agree(codec=make_codec("PCMU"), payload_type=0, events=None)
    packets = ticks(one, 30, start=0.1)
    assert {packet.payload_type for packet in packets} == {0}
    assert [packet.payload != SILENCE for packet in packets] == ([True] * 8 + [False] * 4) * 2 + [False] * 6


def test_keys_stay_in_order_behind_tones_that_wait() -> None:
    one = sender(event_type=None)
    one.press("12")
    ticks(one, 1)
    one.agree(codec=make_codec("PCMU"), payload_type=0, events=MediaFormat(101, "telephone-event", 8000))
    one.press("3")
    packets = ticks(one, 35, start=0.02)
    assert [packet.payload != SILENCE for packet in packets] == ([True] * 7 + [False] * 4) + (
        [True] * 8 + [False] * 4
    ) * 2
    one.press("4")
    assert keys_of(ticks(one, 12, start=0.72)) == [("4", 10)]


def test_keys_that_wait_and_are_too_many_for_tones_are_logged() -> None:
    one = sender()
    one.press("1" * 100)
    with logged() as lines:
        one.agree(codec=make_codec("PCMU"), payload_type=0, events=None)
    assert any("36 of the keys that waited are not sent" in line for _, line in lines)


def test_keys_for_which_there_is_no_room_are_told() -> None:
    assert sender().press("1" * 200) == 128
    assert sender(event_type=None).press("1" * 200) == 64
