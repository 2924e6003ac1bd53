"""The caller's packets: in order at once, out of order after a little wait, and never fewer samples."""

from __future__ import annotations

from random import Random

import numpy as np

from piopiy_pipeline.audio.opus import OpusEncoder
from piopiy_pipeline.gateway.webrtc.uplink import AHEAD_S, Uplink
from tests.support.browser_peer import tone

FRAME_BYTES = 640


class Sender:
    """A browser's stream of a tone, packet by packet."""

    def __init__(self, first: int = 65530, timestamp: int = (1 << 32) - 4000) -> None:
        pcm = tone(300, 2, 16000).astype("<i2").tobytes()
        encoder = OpusEncoder(16000)
        encoder.expect_loss(0.2)
        self.packets = [
            (
                (first + n) & 0xFFFF,
                (timestamp + 960 * n) & 0xFFFFFFFF,
                encoder.encode(pcm[at : at + FRAME_BYTES]),
            )
            for n, at in enumerate(range(0, len(pcm), FRAME_BYTES))
        ]

    def send(self, uplink: Uplink, number: int, *, now: float | None = None, ssrc: int = 7) -> int:
        """Packet `number` arrives; the milliseconds that came out."""
        sequence, timestamp, payload = self.packets[number]
        at = number * 0.02 if now is None else now
        return milliseconds(uplink.add(ssrc, sequence, timestamp, payload, at))


def milliseconds(pieces: list[bytes]) -> int:
    return sum(map(len, pieces)) // 32


def test_packets_in_order_come_out_at_once_across_the_wrap_of_their_numbers() -> None:
    uplink, sender = Uplink(16000), Sender()
    assert [sender.send(uplink, n) for n in range(20)] == [20] * 20
    assert (uplink.received, uplink.lost, uplink.late) == (20, 0, 0)


def test_two_that_changed_places_are_put_in_order() -> None:
    uplink, sender = Uplink(16000), Sender()
    assert [sender.send(uplink, n) for n in (0, 1, 3, 2, 4)] == [20, 20, 0, 40, 20]
    assert (uplink.lost, uplink.concealed_s) == (0, 0.0)


def test_what_is_lost_is_made_up_and_the_time_line_keeps_its_length() -> None:
    uplink, sender = Uplink(16000), Sender()
    came = [n for n in range(60) if n not in (10, 11, 30)]
    heard = [sender.send(uplink, n) for n in came]
    assert sum(heard) == 60 * 20
    assert heard[came.index(12) : came.index(12) + 3] == [0, 0, 100]
    assert (uplink.lost, round(uplink.concealed_s, 3)) == (3, 0.06)


def test_made_up_sound_sounds_like_what_is_around_it() -> None:
    uplink, sender = Uplink(16000), Sender()
    pieces: list[bytes] = []
    for n in range(40):
        if n != 20:
            sequence, timestamp, payload = sender.packets[n]
            pieces += uplink.add(7, sequence, timestamp, payload, n * 0.02)
    heard = np.frombuffer(b"".join(pieces), np.int16)
    levels = [float(np.abs(part).max()) for part in np.split(heard, 40)]
    assert min(levels[5:]) > 0.5 * max(levels)


def test_the_last_packets_before_the_browser_falls_silent_are_not_kept_for_ever() -> None:
    uplink, sender = Uplink(16000), Sender()
    assert [sender.send(uplink, n) for n in (0, 1, 3)] == [20, 20, 0]
    assert uplink.tick(0.1) == []
    assert milliseconds(uplink.tick(0.3)) == 40


def test_a_packet_that_is_too_late_or_comes_twice_is_dropped() -> None:
    uplink, sender = Uplink(16000), Sender()
    assert [sender.send(uplink, n) for n in (0, 1, 1, 3, 3, 4, 5)] == [20, 20, 0, 0, 0, 0, 80]
    assert sender.send(uplink, 2) == 0
    assert uplink.late == 3


def test_a_pause_of_the_sender_is_silence_and_a_long_one_no_more_than_a_second() -> None:
    uplink = Uplink(16000)
    payload = Sender().packets[0][2]
    assert milliseconds(uplink.add(7, 1, 960, payload, 0.0)) == 20
    assert milliseconds(uplink.add(7, 2, 960 * 11, payload, 0.2)) == 20 + 180
    assert milliseconds(uplink.add(7, 3, 960 * 5000, payload, 100.0)) == 20 + 1000
    assert uplink.concealed_s == 0.0


def test_another_source_begins_anew_and_is_counted_with_the_first() -> None:
    uplink, sender = Uplink(16000), Sender()
    assert [sender.send(uplink, n) for n in (0, 1, 3, 4, 5)] == [20, 20, 0, 0, 80]
    assert sender.send(uplink, 30, ssrc=8) == 20
    assert (uplink.received, uplink.lost) == (6, 1)


def test_a_packet_without_opus_is_counted_and_leaves_its_gap_to_the_next() -> None:
    uplink, sender = Uplink(16000), Sender()
    sender.packets[1] = (*sender.packets[1][:2], b"\xff\xff")
    assert [sender.send(uplink, n) for n in range(3)] == [20, 0, 40]
    assert uplink.broken == 1


def test_what_begins_like_opus_behind_a_gap_is_no_failure() -> None:
    random, encoder, uplink = Random(1), OpusEncoder(16000), Uplink(16000)
    for number in range(2_000):
        rubbish = random.randbytes(random.randrange(1, 60))
        payload = rubbish if number % 3 else encoder.encode(bytes(FRAME_BYTES))
        uplink.add(1, 2 * number & 0xFFFF, 1920 * number, payload, 0.04 * number)  # every other one is lost
    assert uplink.broken > 100


def test_nobody_speaks_faster_than_time_goes_but_what_a_network_held_back_may_come_at_once() -> None:
    sender = Sender()
    held_back = Uplink(16000)
    assert sum(sender.send(held_back, n, now=5.0) for n in range(100)) == 2000
    assert held_back.flooded == 0
    flood, payload = Uplink(16000), sender.packets[0][2]
    heard = sum(
        milliseconds(flood.add(7, n & 0xFFFF, 48000 * n & 0xFFFFFFFF, payload, 0.001 * n))
        for n in range(10_000)
    )
    assert heard < 1000 * (10 + AHEAD_S + 2)  # 10 s went by
    assert flood.flooded > 9_000
    sound = milliseconds(flood.add(7, 10_000, 48000 * 10_000, payload, 60.0))
    assert sound >= 20  # and who comes to his senses is heard
