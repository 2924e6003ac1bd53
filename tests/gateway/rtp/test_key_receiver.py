"""Each key is told once and in order, whatever the phone's events look like. Sections are RFC 4733's."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.rtp.dtmf import KEYS
from piopiy_pipeline.gateway.rtp.key_receiver import HOLD_S, MOST_WAITING, KeyReceiver

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
FRAME_S = 0.02


def event(key: str, duration: int, *, end: bool = False) -> bytes:
    return struct.pack("!BBH", KEYS.index(key), 10 | (0x80 if end else 0), duration)


class Stream:
    """A stream without loss, a packet every 20 ms."""

    def __init__(self) -> None:
        self.keys = KeyReceiver()
        self.sequence = 100
        self.told = ""

    def send(self, timestamp: int, payload: bytes | None, count: int = 1, *, lose: bool = False) -> None:
        for _ in range(count):
            now = self.sequence * FRAME_S
            if not lose:
                self.told += self.keys.receive(self.sequence, timestamp, payload, now)
            self.told += self.keys.release(now)
            self.sequence += 1

    def wait(self) -> None:
        self.told += self.keys.release(self.sequence * FRAME_S + 2 * HOLD_S)


def test_a_key_is_told_once_however_often_its_packets_come() -> None:
    one = Stream()
    for _ in range(2):
        for n in range(1, 5):
            one.send(1000, event("5", 160 * n))
        one.send(1000, event("5", 800, end=True), 3)
    assert one.told == "55"


def test_every_key_has_its_code_and_what_is_no_key_presses_nothing() -> None:
    one = Stream()
    for n, key in enumerate(KEYS):
        one.send(1000 * n, event(key, 160))
    for payload in (b"\x10\x0a\x00\xa0", b"\x11\x0a\x00\xa0", b"", b"\x05", b"\x05\x0a\x00"):
        one.send(20_000, payload)
    assert one.told == KEYS


def test_a_key_of_which_only_an_end_arrives_is_told() -> None:
    one = Stream()
    one.send(1000, None, 5)
    one.send(1000, event("#", 800), 4, lose=True)
    one.send(1000, event("#", 800, end=True))
    assert one.told == ""  # what is missing may hold another key
    one.wait()
    assert one.told == "#"


def test_timestamps_that_go_on_within_a_key_are_one_key() -> None:
    one = Stream()
    for n in range(1, 12):
        one.send(1000 + 160 * n, event("2", 160 * n, end=n > 8))
    assert one.told == "2"


def test_several_keys_with_one_timestamp_are_several_keys() -> None:
    one = Stream()
    for key in "1233":
        for n in range(1, 6):
            one.send(0, event(key, 160 * n))
        one.send(0, event(key, 800, end=True), 3)
    assert one.told == "1233"


def test_ends_that_are_lost_do_not_join_two_keys() -> None:
    one = Stream()
    for timestamp in (0, 0, 0, 4000):
        for n in range(1, 6):
            one.send(timestamp, event("3", 160 * n))
        one.send(timestamp, event("3", 800, end=True), 3, lose=True)
        one.send(0, None, 3)
    one.wait()
    assert one.told == "3333"


def test_a_key_held_for_longer_than_a_duration_can_tell_is_one_key() -> None:
    """2.5.1.3"""
    one = Stream()
    one.send(1000, event("7", 65_000))
    one.send(1000, event("7", 65_535))
    one.send(1000 + 65_535, event("7", 160))
    one.send(1000 + 65_535, event("7", 320, end=True))
    one.send(1000 + 2 * 65_535, event("7", 160))  # let go in between, and pressed again
    assert one.told == "77"


def test_an_end_that_is_shorter_than_what_came_before_is_no_other_key() -> None:
    one = Stream()
    one.send(1000, event("8", 640))
    one.send(1000, event("8", 600, end=True), 3)
    assert one.told == "8"


def test_a_packet_that_comes_late_keeps_its_place() -> None:
    keys = KeyReceiver()
    told = keys.receive(1, 0, None, 0.0)
    told += keys.receive(3, 3000, event("2", 160), 0.02)
    told += keys.receive(2, 1000, event("1", 160, end=True), 0.03)
    told += keys.receive(2, 1000, event("1", 160, end=True), 0.04)
    assert told == "12"


def test_waiting_is_bounded() -> None:
    keys = KeyReceiver()
    keys.receive(1, 0, None, 0.0)
    told = "".join(keys.receive(3 + n, 0, event("2", 160 * (n + 1)), 0.0) for n in range(MOST_WAITING + 1))
    assert told == "2"
    assert not keys.waiting


# ---------------------------------------------------------------------- any phone, any network


@dataclass(frozen=True)
class Style:
    """How a phone sends keys."""

    stamps: str
    """Of the packets of a key: its "start", "rising", "standing" for all keys, or "random"."""
    clock: int
    ends: int
    sound: bool
    """Whether it sends sound between keys."""
    both: bool
    """Whether it sends sound beside the packets of a key, too."""


@dataclass(frozen=True)
class Press:
    key: str
    tone: int
    """In packets, as the pause."""
    pause: int


def styles(stamps: list[str], *, both: bool) -> st.SearchStrategy[Style]:
    return st.builds(
        Style,
        stamps=st.sampled_from(stamps),
        clock=st.sampled_from([8000, 16_000, 48_000]),
        ends=st.integers(0, 4),
        sound=st.booleans(),
        both=st.just(both),
    )


STYLES = st.one_of(
    styles(["start", "rising", "standing", "random"], both=False), styles(["start"], both=True)
)
PRESSES = st.lists(
    st.builds(Press, st.sampled_from("1233#A"), st.integers(5, 12), st.integers(3, 9)), min_size=1, max_size=8
)
Sent = tuple[float, int, bytes | None, int | None]


def dialled(style: Style, presses: list[Press], rng: Random) -> list[Sent]:
    """What the phone sends: the time, the timestamp, the event or None, and which key it belongs to."""
    step = style.clock // 50
    base, now = rng.getrandbits(32), 0.0
    sent: list[Sent] = []

    def packet(payload: bytes | None, which: int | None, timestamp: int) -> None:
        sent.append((now, (base + timestamp) & 0xFFFFFFFF, payload, which))

    for _ in range(3):
        now += FRAME_S
        packet(None, None, round(now * style.clock))
    for which, press in enumerate(presses):
        start = round(now * style.clock)
        for n in range(1, press.tone + style.ends + 1):
            now += FRAME_S
            duration = min(n, press.tone) * step
            stamp = {
                "start": start,
                "rising": start + n * step,
                "standing": 0,
                "random": rng.getrandbits(32),
            }[style.stamps]
            packet(event(press.key, duration, end=n > press.tone), which, stamp)
            if style.both:
                packet(None, None, round(now * style.clock))
        for _ in range(press.pause):
            now += FRAME_S
            if style.sound:
                packet(None, None, round(now * style.clock))
    return sent


def carried(sent: list[Sent], presses: int, rng: Random, loss: float) -> list[tuple[float, int]]:
    """What arrives and when: packets lost, but not all of a key, sent twice, and up to 60 ms late."""
    kept = [n for n in range(len(sent)) if n < 3 or rng.random() >= loss]
    for which in range(presses):
        own = [n for n, packet in enumerate(sent) if packet[3] == which]
        if not set(own) & set(kept):
            kept.append(rng.choice(own))
    arrivals = []
    for n in kept:
        for _ in range(1 if rng.random() < 0.9 else 2):
            late = rng.uniform(0, 0.06) if n >= 3 and rng.random() < 0.3 else 0.0
            arrivals.append((sent[n][0] + late, n))
    return sorted(arrivals)


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STYLES, PRESSES, st.sampled_from([0.0, 0.1, 0.3, 0.6, 0.9, 1.0]), st.integers(0, 2**32))
def test_every_key_is_told_once_and_in_order(
    style: Style, presses: list[Press], loss: float, seed: int
) -> None:
    if style.both:
        # Where sound and keys go side by side, the numbers tell nothing of the time when much is lost.
        loss = min(loss, 0.1)
    rng = Random(seed)
    sent = dialled(style, presses, rng)
    keys, told, tick = KeyReceiver(clock=style.clock), "", 0.0
    keys.sound_clock = style.clock
    for arrived, n in carried(sent, len(presses), rng, loss):
        while tick < arrived:
            told += keys.release(tick)
            tick += FRAME_S
        told += keys.receive(1000 + n, sent[n][1], sent[n][2], arrived)
    told += keys.release(tick + 1.0)
    assert told == "".join(press.key for press in presses)


@pytest.mark.parametrize("stamps", ["start", "rising", "standing", "random"])
def test_a_line_without_loss_tells_fast_keys_apart(stamps: str) -> None:
    """A machine dials: 40 ms of tone, 40 ms of pause."""
    style = Style(stamps=stamps, clock=8000, ends=3, sound=True, both=False)
    keys, told = KeyReceiver(), ""
    for n, (now, timestamp, payload, _) in enumerate(dialled(style, [Press("3", 2, 2)] * 5, Random(1))):
        told += keys.receive(n, timestamp, payload, now)
    assert told == "33333"
