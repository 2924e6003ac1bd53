"""What is heard of a phone: its own packets, wherever they come from, and nobody else's."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from piopiy_pipeline.gateway.rtp.codecs import make_codec
from piopiy_pipeline.gateway.rtp.packet import RtpPacket
from piopiy_pipeline.gateway.rtp.receiver import REBIND_S, Address, RtpReceiver

SIGNALLED = ("192.0.2.1", 4000)
BEHIND_NAT = ("198.51.100.7", 61234)
ATTACKER = ("203.0.113.66", 9)
LOUD = bytes([0x80 + 20]) * 160
FAINT = bytes([0x80 + 110]) * 160
EVENTS = 101


def receiver(name: str = "PCMU", payload_type: int = 0, rate: int | None = None) -> RtpReceiver:
    codec = make_codec(name, rate)
    one = RtpReceiver(rate=codec.rate)
    one.agree(codecs={payload_type: codec}, events={EVENTS: 8000}, signalled=SIGNALLED)
    return one


class Phone:
    """Sends a packet every 20 ms of `now`."""

    def __init__(
        self, source: Address = SIGNALLED, *, ssrc: int = 1, sequence: int = 100, time: int = 5000
    ) -> None:
        self.source, self.ssrc, self.sequence, self.time = source, ssrc, sequence, time

    def packet(
        self, payload: bytes = LOUD, kind: int = 0, *, step: int = 160, time: int | None = None
    ) -> RtpPacket:
        stamp = self.time if time is None else time
        packet = RtpPacket(kind, False, self.sequence & 0xFFFF, stamp & 0xFFFFFFFF, self.ssrc, payload)
        self.sequence += 1
        self.time += step
        return packet

    def speak(self, to: RtpReceiver, now: float, payload: bytes = LOUD) -> str | None:
        return to.receive(self.packet(payload), self.source, now)


def level(pcm: bytes) -> int:
    return int(np.abs(np.frombuffer(pcm, np.int16).astype(np.int32)).max())


def loudness(
    one: RtpReceiver, phone: Phone, ticks: int, *, start: float = 0.0, payload: bytes = LOUD
) -> list[int]:
    """What is heard of so many packets, a tick behind each."""
    levels = []
    for tick in range(ticks):
        now = start + tick * 0.02
        phone.speak(one, now, payload)
        levels.append(level(one.take(now + 0.005)))
    return levels


def test_the_address_of_the_description_is_believed_at_once() -> None:
    one = receiver()
    assert one.source is None
    assert Phone().speak(one, 0.0) == ""
    assert one.source == SIGNALLED
    assert one.received == 1


def test_a_phone_behind_a_router_is_found_by_two_packets_in_order() -> None:
    one, phone = receiver(), Phone(BEHIND_NAT)
    assert phone.speak(one, 0.0) is None
    assert one.source is None
    assert phone.speak(one, 0.02) == ""
    assert one.source == BEHIND_NAT


def test_after_that_nobody_else_is_heard() -> None:
    one, phone, attacker = receiver(), Phone(BEHIND_NAT), Phone(ATTACKER, ssrc=6)
    for tick in range(100):
        phone.speak(one, tick * 0.02, FAINT)
        assert attacker.speak(one, tick * 0.02 + 0.001) is None
        assert level(one.take(tick * 0.02 + 0.005)) < 1000
    assert one.source == BEHIND_NAT
    assert one.strangers == 101  # and the phone's first, before it was known


def test_an_attacker_with_the_right_ssrc_has_no_chance_while_the_phone_is_heard() -> None:
    one, phone = receiver(), Phone(BEHIND_NAT)
    loudness(one, phone, 10)
    attacker = Phone(ATTACKER, ssrc=phone.ssrc, sequence=phone.sequence, time=phone.time)
    assert attacker.speak(one, 0.21) is None
    assert attacker.speak(one, 0.22) is None
    assert one.source == BEHIND_NAT


def test_the_signalled_address_counts_above_one_that_was_learned() -> None:
    one, quick, phone = receiver(), Phone(ATTACKER, ssrc=6), Phone()
    quick.speak(one, 0.0)
    quick.speak(one, 0.02)
    assert one.source == ATTACKER
    phone.speak(one, 0.03)
    phone.speak(one, 0.05)
    assert one.source == SIGNALLED


def test_who_sprays_ports_before_the_phone_speaks_is_not_taken_for_it() -> None:
    one = receiver()
    one.home = BEHIND_NAT[0]
    attackers = [Phone((ATTACKER[0], 5000 + n), ssrc=n) for n in range(20)]
    for tick in range(20):
        for attacker in attackers:
            assert attacker.speak(one, tick * 0.02) is None
    assert one.source is None
    phone = Phone(BEHIND_NAT, ssrc=99)
    phone.speak(one, 0.5)
    for attacker in attackers:
        attacker.speak(one, 0.51)
    assert phone.speak(one, 0.52) == ""
    assert one.source == BEHIND_NAT


def test_a_phone_whose_voice_comes_from_somewhere_else_is_believed_after_a_while() -> None:
    one = receiver()
    one.home = "192.0.2.200"
    far = Phone(("198.51.100.99", 7000))
    heard = [far.speak(one, tick * 0.02) for tick in range(60)]
    assert (heard[40], heard[-1]) == (None, "")
    phone = Phone(("192.0.2.200", 4444), ssrc=5)
    assert phone.speak(one, 1.3) is None
    assert phone.speak(one, 1.32) == ""  # it was somebody else after all
    assert far.speak(one, 1.34) is None
    assert one.source == phone.source


def test_a_stream_that_goes_on_from_another_port_is_followed_when_the_old_one_is_silent() -> None:
    one, phone = receiver(), Phone(BEHIND_NAT)
    loudness(one, phone, 10)
    phone.source = (BEHIND_NAT[0], 40000)
    assert phone.speak(one, 0.2) is None
    phone.time += 8000
    phone.sequence += 49
    assert phone.speak(one, 0.2 + REBIND_S + 0.02) == ""
    assert one.source == (BEHIND_NAT[0], 40000)


def test_signalling_moves_the_media() -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 10)
    elsewhere = ("192.0.2.9", 7000)
    one.agree(codecs={0: make_codec("PCMU")}, events={}, signalled=elsewhere)
    assert one.source is None
    assert Phone(elsewhere, ssrc=2).speak(one, 0.25) == ""
    assert one.source == elsewhere
    assert phone.speak(one, 0.27) is None


def test_hold_and_resume_without_a_move_leaves_the_address_that_was_learned() -> None:
    one, phone = receiver(), Phone(BEHIND_NAT)
    loudness(one, phone, 10)
    one.agree(codecs={0: make_codec("PCMU")}, events={}, signalled=SIGNALLED)
    assert one.source == BEHIND_NAT
    assert phone.speak(one, 0.3) == ""


@pytest.mark.parametrize("change", ["ssrc", "sequence"])
def test_another_stream_of_the_same_phone_is_heard_from_its_second_packet_on(change: str) -> None:
    one, phone = receiver(), Phone()
    assert loudness(one, phone, 20)[-1] > 10000
    other = Phone(ssrc=2 if change == "ssrc" else 1, sequence=40_000, time=123_456_789)
    levels = loudness(one, other, 50, start=0.4, payload=FAINT)
    assert one.strangers == 1
    assert 0 < levels[-1] < 1000
    assert one.received == 69
    assert one.lost == 0


def test_another_codec_in_mid_call_is_a_short_gap_and_no_more() -> None:
    one, phone = receiver("PCMU", 0), Phone()
    loudness(one, phone, 50)
    one.agree(codecs={9: make_codec("G722", 8000)}, events={}, signalled=SIGNALLED)
    wide = make_codec("G722")
    frame = (8000 * np.sin(2 * np.pi * 400 * np.arange(320) / 16000)).astype("<i2").tobytes()
    levels = []
    for tick in range(100):
        now = 1.0 + tick * 0.02
        one.receive(phone.packet(wide.encode(frame), 9), SIGNALLED, now)
        levels.append(level(one.take(now + 0.005)))
    assert min(levels[10:]) > 6000
    assert one.lost == 0


def test_opus_is_heard_through_its_own_clock_also_when_that_wraps() -> None:
    codec = make_codec("opus")
    one, phone = receiver("opus", 111), Phone(time=2**32 - 48_000)
    frame = (8000 * np.sin(2 * np.pi * 400 * np.arange(320) / 16000)).astype("<i2").tobytes()
    levels = []
    for tick in range(150):
        now = tick * 0.02
        one.receive(phone.packet(codec.encode(frame), 111, step=960), SIGNALLED, now)
        levels.append(level(one.take(now + 0.005)))
    assert min(levels[10:]) > 6000
    assert one.stats(3.0).concealed_s == 0


def test_a_key_is_told_once_and_the_voice_goes_on() -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 10)
    told: list[str | None] = []
    began = phone.time
    for n in range(1, 9):
        payload = struct.pack("!BBH", 5, 10 | (0x80 if n > 5 else 0), 160 * min(n, 6))
        told.append(one.receive(phone.packet(payload, EVENTS, time=began), SIGNALLED, 0.2 + n * 0.02))
    assert "".join(key or "" for key in told) == "5"
    assert loudness(one, phone, 30, start=0.4)[-1] > 10000
    assert one.lost == 0


@pytest.mark.parametrize("change", ["codec", "clock", "address"])
def test_a_key_that_is_held_while_signalling_changes_the_media_is_told_once(change: str) -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 10)
    told: list[str | None] = []
    began = phone.time
    for n in range(1, 20):
        if n == 8:
            name = {"codec": "PCMA", "clock": "opus", "address": "PCMU"}[change]
            if change == "address":
                phone.source = ("192.0.2.1", 7000)
            codec = make_codec(name, one.rate)
            one.agree(codecs={8: codec}, events={EVENTS: 8000}, signalled=phone.source)
        payload = struct.pack("!BBH", 5, 10 | (0x80 if n > 16 else 0), 160 * min(n, 17))
        told.append(one.receive(phone.packet(payload, EVENTS, time=began), phone.source, 0.2 + n * 0.02))
    assert None not in told
    assert "".join(key or "" for key in told) == "5"
    assert (one.received, one.lost, one.strangers) == (29, 0, 0)


OTHER = ("192.168.0.9", 5000)


@pytest.mark.parametrize(
    ("moves_to", "signalled"),
    [
        (BEHIND_NAT, OTHER),
        (("198.51.100.7", 9999), OTHER),
        (("203.0.113.80", 5004), OTHER),  # it is in another network
        (SIGNALLED, SIGNALLED),
    ],
)
def test_so_is_one_that_is_held_while_the_address_of_a_phone_behind_a_router_changes(
    moves_to: Address, signalled: Address
) -> None:
    one, phone = receiver(), Phone(BEHIND_NAT)
    loudness(one, phone, 10)
    told = ""
    began = phone.time
    for n in range(1, 40):
        now = 0.2 + n * 0.02
        if n == 8:
            phone.source = moves_to
            if signalled != SIGNALLED:
                one.agree(codecs={0: make_codec("PCMU")}, events={EVENTS: 8000}, signalled=signalled)
        payload = struct.pack("!BBH", 5, 10 | (0x80 if n > 36 else 0), 160 * min(n, 37))
        told += one.receive(phone.packet(payload, EVENTS, time=began), phone.source, now) or ""
        told += one.release_keys(now)
    assert told == "5"
    assert one.source == moves_to
    assert loudness(one, phone, 30, start=1.1)[-1] > 10000


def test_the_jitter_of_a_stream_whose_clock_changes_is_that_of_its_packets() -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 50)
    codec = make_codec("opus", one.rate)
    one.agree(codecs={111: codec}, events={}, signalled=SIGNALLED)
    for tick in range(50):
        one.receive(phone.packet(codec.silence(), 111, step=960), SIGNALLED, 1.0 + tick * 0.02)
    assert one.reception is not None
    assert one.reception.jitter_s < 0.001


def test_comfort_noise_is_heard_at_its_level_and_the_pause_is_no_loss() -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 20, payload=FAINT)
    one.receive(phone.packet(bytes([50]), 13), SIGNALLED, 0.4)
    phone.time += 24 * 160
    levels = [level(one.take(0.405 + tick * 0.02)) for tick in range(25)]
    assert levels[-1] < 1500
    loudness(one, phone, 5, start=0.9, payload=FAINT)
    assert one.lost == 0


def test_what_was_not_agreed_on_is_counted_and_not_heard() -> None:
    one, phone = receiver(), Phone()
    phone.speak(one, 0.0)
    assert one.receive(phone.packet(b"\0" * 33, 3), SIGNALLED, 0.02) is None  # GSM
    assert one.receive(phone.packet(b"\xff" * 2000), SIGNALLED, 0.04) == ""  # longer than a packet may be
    assert one.receive(phone.packet(b""), SIGNALLED, 0.06) == ""  # a keepalive of some routers
    assert one.unknown == 2
    assert one.received == 3


def test_lost_packets_are_made_up_and_counted() -> None:
    one, phone = receiver(), Phone()
    loudness(one, phone, 20)
    levels = []
    for tick in range(100):
        now = 0.4 + tick * 0.02
        if tick % 20 == 10:
            phone.packet()
        else:
            phone.speak(one, now)
        levels.append(level(one.take(now + 0.005)))
    assert one.lost == 5
    assert min(levels) > 5000
    assert one.stats(2.4).concealed_s >= 0.08


@pytest.mark.parametrize("beside", [False, True])
def test_keys_on_another_clock_leave_the_sound_in_its_place(beside: bool) -> None:
    """Keys at 8 kHz in a stream of Opus at 48 kHz, in the place of its sound or beside it."""
    codec = make_codec("opus")
    one, phone = receiver("opus", 111), Phone()
    frame = (8000 * np.sin(2 * np.pi * 400 * np.arange(320) / 16000)).astype("<i2").tobytes()
    told, levels, began = "", [], 0
    for tick in range(200):
        now = tick * 0.02
        in_key = tick % 50 - 20
        if in_key == 0:
            began = 2**31 + tick * 160
        if 0 <= in_key < 10:
            payload = struct.pack("!BBH", 5, 10 | (0x80 if in_key > 6 else 0), 160 * min(in_key + 1, 7))
            told += one.receive(phone.packet(payload, EVENTS, step=0, time=began), SIGNALLED, now) or ""
            if not beside:
                phone.time += 960
        if beside or not 0 <= in_key < 10:
            told += one.receive(phone.packet(codec.encode(frame), 111, step=960), SIGNALLED, now) or ""
        told += one.release_keys(now)
        levels.append(level(one.take(now + 0.005)))
    assert told == "5555"
    stats = one.stats(4.0)
    assert (stats.late, stats.dropped, stats.restarts) == (0, 0, 0)
    if beside:
        assert min(levels[10:]) > 6000
        assert stats.concealed_s == 0
    else:
        assert min(levels[10:20] + levels[35:70]) > 6000
