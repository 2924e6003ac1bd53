"""All of a phone's sound is heard, in one piece, however the phone counts its timestamps."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.rtp.codecs import make_codec
from piopiy_pipeline.gateway.rtp.packet import RtpPacket
from piopiy_pipeline.gateway.rtp.receiver import RtpReceiver
from piopiy_pipeline.gateway.rtp.reception import StreamPosition
from piopiy_pipeline.gateway.rtp.sound_timeline import SoundTimeline

CASES = int(os.environ.get("PROPERTY_CASES", "200"))
SOURCE = ("192.0.2.1", 4000)
FRAME_S = 0.02
SPOKEN_S = 4.0
Count = Callable[[int, float, Random], float]
"""The seconds that a phone's clock shows for packet `n`, whose sound begins at `at`."""


@cache
def frames(name: str) -> tuple[bytes, ...]:
    """A tone of `SPOKEN_S` and then silence, as packets of 20 ms."""
    codec = make_codec(name)
    at = np.arange(int(SPOKEN_S * codec.rate)) / codec.rate
    pcm = (8000 * np.sin(2 * np.pi * 400 * at)).astype("<i2").tobytes() + bytes(4 * codec.rate)
    size = codec.rate // 50 * 2
    return tuple(codec.encode(pcm[start : start + size]) for start in range(0, len(pcm), size))


@dataclass
class Heard:
    """What comes out of the receiver: seconds of sound, of holes in it, and of what was made up or taken out."""

    sound_s: float
    holes_s: float
    made_up_s: float
    lost: int


def heard(
    name: str, count: Count, rng: Random, *, per_packet: int = 1, jitter_s: float = 0.0, loss: float = 0.0
) -> Heard:
    codec = make_codec(name)
    one = RtpReceiver(rate=codec.rate)
    one.agree(codecs={9: codec}, events={}, signalled=SOURCE)
    base, arrivals = rng.getrandbits(32), []
    encoded = frames(name)
    for n, first in enumerate(range(0, len(encoded), per_packet)):
        payload = b"".join(encoded[first : first + per_packet])
        at = first * FRAME_S
        stamp = (base + round(count(n, at, rng) * codec.clock)) & 0xFFFFFFFF
        packet = RtpPacket(9, False, (60_000 + n) & 0xFFFF, stamp, 7, payload)
        if n < 2 or rng.random() >= loss:
            arrivals.append((at + per_packet * FRAME_S + rng.uniform(0, jitter_s), n, packet))
    arrivals.sort(key=lambda one: one[:2])
    pcm, next_up = b"", 0
    for tick in range(int((SPOKEN_S + 1.0) / FRAME_S)):
        now = tick * FRAME_S
        while next_up < len(arrivals) and arrivals[next_up][0] <= now:
            arrived, _, packet = arrivals[next_up]
            one.receive(packet, SOURCE, arrived)
            next_up += 1
        pcm += one.take(now)
    step = codec.rate // 200
    windows = np.abs(np.frombuffer(pcm, "<i2").reshape(-1, step).astype(np.int32)).max(axis=1) > 2000
    loud = np.flatnonzero(windows)
    stats = one.stats(SPOKEN_S + 1.0)
    return Heard(
        sound_s=loud.size / 200 + stats.shortened_s,
        holes_s=(loud[-1] - loud[0] + 1 - loud.size) / 200,
        made_up_s=stats.concealed_s,
        lost=stats.late + stats.dropped,
    )


def jumping(seed: int) -> Count:
    rng = Random(seed)
    jumps = {rng.randrange(200): rng.uniform(-40_000, 40_000) for _ in range(4)}
    return lambda n, at, _: at + sum(by for first, by in jumps.items() if n >= first)


STYLES: dict[str, Count] = {
    "as declared": lambda n, at, rng: at,
    "twice as fast": lambda n, at, rng: 2 * at,
    "three times as fast": lambda n, at, rng: 3 * at,
    "six times as fast": lambda n, at, rng: 6 * at,
    "half as fast": lambda n, at, rng: at / 2,
    "a third as fast": lambda n, at, rng: at / 3,
    "a sixth as fast": lambda n, at, rng: at / 6,
    "standing": lambda n, at, rng: 0.0,
    "one for each packet": lambda n, at, rng: n / 8000,
    "20 ms for each packet": lambda n, at, rng: n * FRAME_S,
    "backwards": lambda n, at, rng: -at,
    "random": lambda n, at, rng: rng.uniform(0, 80_000),
    "by a clock that trembles": lambda n, at, rng: at + rng.uniform(0, 0.008),
    "anew in the middle": lambda n, at, rng: at if at < 2 else at - 1.7,
    "with a jump ahead": lambda n, at, rng: at if at < 2 else at + 0.9,
    "with a long jump ahead": lambda n, at, rng: at if at < 2 else at + 30_000,
}


@pytest.mark.parametrize("name", ["PCMU", "G722", "opus"])
@pytest.mark.parametrize("style", STYLES)
def test_whatever_the_timestamps_are_all_is_heard(name: str, style: str) -> None:
    result = heard(name, STYLES[style], Random(1))
    assert result.sound_s - result.made_up_s == pytest.approx(SPOKEN_S, abs=0.06)
    assert result.holes_s <= 0.02
    assert result.made_up_s <= 0.02
    assert result.lost == 0


@settings(max_examples=CASES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["PCMU", "G722", "opus"]),
    st.one_of(st.sampled_from(sorted(STYLES)), st.integers(0, 2**32)),
    st.sampled_from([1, 2, 3]),
    st.sampled_from([0.0, 0.01, 0.03]),
    st.sampled_from([0.0, 0.0, 0.02]),
    st.integers(0, 2**32),
)
def test_any_count_of_any_packets_over_any_line_is_heard(
    name: str, style: str | int, per_packet: int, jitter_s: float, loss: float, seed: int
) -> None:
    count = STYLES[style] if isinstance(style, str) else jumping(style)
    per_packet = 1 if name == "opus" else per_packet  # packets of Opus cannot be joined
    result = heard(name, count, Random(seed), per_packet=per_packet, jitter_s=jitter_s, loss=loss)
    assert result.sound_s >= 0.95 * SPOKEN_S
    assert result.holes_s <= 0.2


# ---------------------------------------------------------------------- where packets are put


class Packets:
    """Packets of 20 ms at 8 kHz into a timeline, each 20 ms behind the one before."""

    def __init__(self, *, jitter_s: float = 0.0, seed: int = 1) -> None:
        self.timeline = SoundTimeline(rate=8000)
        self.sequence, self.timestamp, self.now = 100, 5000, 0.0
        self._jitter_s, self._rng = jitter_s, Random(seed)

    def send(self, count: int = 1, *, step: int = 160, clock: int = 8000) -> list[int]:
        """Returns where their sound begins."""
        places = []
        for _ in range(count):
            arrived = self.now + self._rng.uniform(0, self._jitter_s)
            position = StreamPosition(self.sequence, self.timestamp)
            places.append(self.timeline.place(position, 160, clock=clock, arrived=arrived).timestamp)
            self.sequence += 1
            self.timestamp += step
            self.now += FRAME_S
        return places

    def pause(self, frames: int, *, step: int = 160) -> None:
        self.timestamp += frames * step
        self.now += frames * FRAME_S


@pytest.mark.parametrize("step", [160, 320, 53])
@given(seed=st.integers(0, 1000), frames=st.lists(st.integers(1, 200), max_size=6))
def test_a_pause_is_as_long_as_the_phone_says(step: int, seed: int, frames: list[int]) -> None:
    one = Packets(jitter_s=0.08, seed=seed)
    last = one.send(40, step=step)[-1]
    for pause in frames:
        one.pause(pause, step=step)
        places = one.send(5, step=step)
        assert places[0] - last == pytest.approx((pause + 1) * 160, abs=pause)
        last = places[-1]


def test_a_pause_that_has_not_been_yet_is_none() -> None:
    one = Packets()
    last = one.send(40)[-1]
    one.timestamp += 4000
    assert one.send(3) == [last + 160, last + 320, last + 480]


def test_a_packet_that_was_overtaken_goes_before_the_other() -> None:
    for step in (160, 0, 7_654_321):
        one = Packets()
        one.send(20, step=step)
        late = StreamPosition(one.sequence, one.timestamp)
        one.sequence, one.timestamp = one.sequence + 1, one.timestamp + step
        [place] = one.send(step=step)
        assert one.timeline.place(late, 160, clock=8000, arrived=one.now).timestamp == place - 160


def test_another_clock_or_stream_goes_on_behind_the_one_before() -> None:
    one = Packets()
    last = one.send(20)[-1]
    one.timestamp += 123_456
    places = one.send(20, step=960, clock=48_000)
    assert places == list(range(last + 160, last + 160 * 21, 160))
    one.timeline.splice()
    one.sequence, one.timestamp = 7, 7
    one.now += 1.0
    place = one.timeline.place(StreamPosition(7, 7), 160, clock=48_000, arrived=one.now)
    assert place.sequence == 140
    assert place.timestamp == pytest.approx(places[-1] + 160 + 8000, abs=1)


def test_a_stream_without_timestamps_has_its_pauses_from_the_arrivals() -> None:
    one = Packets()
    last = one.send(20, step=0)[-1]
    one.pause(50, step=0)
    assert one.send(step=0)[0] - last == pytest.approx(51 * 160, abs=1)
