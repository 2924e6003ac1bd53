"""Keys as telephone events: each is told once, and sent so that one packet of it is enough. RFC 4733."""

from __future__ import annotations

import struct

import pytest

from piopiy_pipeline.gateway.rtp.dtmf import MAX_QUEUED, KeyReceiver, KeySender


def event(code: int, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", code, 10 | (0x80 if end else 0), duration)


def test_a_key_is_told_once_however_often_its_packets_come() -> None:
    keys = KeyReceiver()
    told = [keys.receive(1000, event(5, 160 * n)) for n in range(1, 5)]
    told += [keys.receive(1000, event(5, 800, end=True)) for _ in range(3)]
    told.append(keys.receive(4000, event(5, 160)))
    assert told == ["5", "", "", "", "", "", "", "5"]


def test_every_key_has_its_code() -> None:
    keys = KeyReceiver()
    assert "".join(keys.receive(1000 * n, event(n, 160)) for n in range(18)) == "0123456789*#ABCD"


def test_a_key_of_which_only_an_end_arrives_is_told() -> None:
    assert KeyReceiver().receive(1000, event(11, 800, end=True)) == "#"


def test_a_late_packet_of_an_earlier_key_presses_nothing() -> None:
    keys = KeyReceiver()
    assert keys.receive(1000, event(1, 160)) == "1"
    assert keys.receive(3000, event(2, 160)) == "2"
    assert keys.receive(1000, event(1, 800, end=True)) == ""
    assert keys.receive(3000, event(2, 800, end=True)) == ""


def test_a_key_held_for_longer_than_a_duration_can_tell_is_one_key() -> None:
    keys = KeyReceiver()
    assert keys.receive(1000, event(7, 65535)) == "7"
    assert keys.receive(1000 + 65535, event(7, 160)) == ""
    assert keys.receive(1000 + 65535, event(7, 320, end=True)) == ""
    assert keys.receive(1000 + 2 * 65535, event(7, 160)) == "7"  # let go in between, and pressed again


def test_a_sender_whose_times_begin_anew_is_heard() -> None:
    keys = KeyReceiver()
    assert keys.receive(10_000_000, event(1, 160)) == "1"
    assert keys.receive(5_000, event(2, 160)) == "2"
    keys.forget()
    assert keys.receive(4_000, event(3, 160)) == "3"


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\x05\x0a\x00"])
def test_a_payload_that_is_none_presses_nothing(payload: bytes) -> None:
    assert KeyReceiver().receive(1000, payload) == ""


def test_a_key_is_sent_with_growing_durations_and_its_end_three_times() -> None:
    sender = KeySender(clock=8000)
    sender.press("5")
    packets = [packet for packet in (sender.next_packet() for _ in range(20)) if packet is not None]
    assert [packet.first for packet in packets] == [True] + [False] * 9
    parsed = [struct.unpack("!BBH", packet.payload) for packet in packets]
    assert [duration for _, _, duration in parsed] == [160 * n for n in range(1, 9)] + [1280, 1280]
    assert [flags & 0x80 for _, flags, _ in parsed] == [0] * 7 + [0x80] * 3
    assert {code for code, _, _ in parsed} == {5}
    assert not sender.next_is_key


def test_keys_follow_each_other_with_a_pause_that_tells_them_apart() -> None:
    sender = KeySender(clock=8000)
    receiver = KeyReceiver()
    sender.press("11#a")
    told, started, gaps, quiet = "", 0, [], 0
    for tick in range(100):
        packet = sender.next_packet()
        if packet is None:
            quiet += 1
            continue
        if packet.first:
            started = tick * 160
            gaps.append(quiet)
        quiet = 0
        told += receiver.receive(started, packet.payload)
    assert told == "11#A"
    assert gaps[1:] == [4, 4, 4]  # 80 ms; ETSI ES 201 235-2 asks for 65
    assert not sender.next_is_key


def test_what_is_no_key_is_refused_and_a_flood_is_bounded() -> None:
    sender = KeySender(clock=8000)
    with pytest.raises(ValueError, match="substring"):
        sender.press("12x")
    assert not sender.next_is_key
    assert sender.press("1" * 200) == MAX_QUEUED
    assert sender.press("1") == 0
