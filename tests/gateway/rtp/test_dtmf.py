"""Keys as telephone events: each is told once, and sent so that one packet of it is enough. RFC 4733."""

from __future__ import annotations

import struct

import pytest

from piopiy_pipeline.gateway.rtp.dtmf import MAX_QUEUED, KeySender
from piopiy_pipeline.gateway.rtp.key_receiver import KeyReceiver


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
            receiver.receive(tick, tick * 160, None, tick * 0.02)
            continue
        if packet.first:
            started = tick * 160
            gaps.append(quiet)
        quiet = 0
        told += receiver.receive(tick, started, packet.payload, tick * 0.02)
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
