"""The bot's own sound next to the caller's: in step whatever the network does, and bounded."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.audio.echo_reference import HOLE_S, LAG_MS, MOST_S, EchoReference

RATE = 8_000
FRAME = 160
LAG = RATE * LAG_MS // 1000


class Line:
    """A reference to which each frame tick brings 20 ms of samples that tell their position."""

    def __init__(self) -> None:
        self.reference = EchoReference(RATE)
        self.played = 0
        self.heard = 0  # samples of the caller's until now
        self.now = 0.0
        self.offsets: list[int] = []

    def tick(self) -> None:
        self.reference.played(np.arange(self.played + 1, self.played + 1 + FRAME).astype("<u2").tobytes())
        self.played += FRAME
        self.now += 0.02
        self.reference.played_until(self.now)

    def hear(self, frames: int = 1) -> None:
        for _ in range(frames):
            pcm = np.frombuffer(self.reference.take(2 * FRAME), "<u2")
            if pcm[-1]:
                self.offsets.append(self.heard + FRAME - int(pcm[-1]))
            self.heard += FRAME


def test_the_reference_is_what_was_played_a_moment_ago() -> None:
    line = Line()
    for _ in range(50):
        line.tick()
        line.hear()
    assert set(line.offsets) == {LAG}


@given(st.lists(st.integers(0, 4), min_size=10, max_size=150))
def test_bursts_of_the_network_do_not_move_it(waits: list[int]) -> None:
    line = Line()
    line.tick()
    line.hear()
    waiting = 0
    for wait in waits:
        line.tick()
        waiting += 1
        if waiting > wait:  # all that was late comes at once
            line.hear(waiting)
            waiting = 0
    assert set(line.offsets) <= {LAG}
    assert not line.reference.realigned


def test_silence_of_the_bot_is_counted_by_the_clock() -> None:
    line = Line()
    line.tick()
    line.hear()
    for _ in range(100):
        line.now += 0.02
        line.reference.played_until(line.now)
        line.heard += FRAME
        line.reference.take(2 * FRAME)
    line.offsets.clear()
    line.played += 100 * FRAME
    for _ in range(10):
        line.tick()
        line.hear()
    assert set(line.offsets) == {LAG}


def test_a_line_that_sends_nothing_for_a_while_is_in_step_again_afterwards() -> None:
    line = Line()
    for _ in range(10):
        line.tick()
        line.hear()
    silent = int(3 / 0.02)
    for _ in range(silent):
        line.tick()
    line.heard += silent * FRAME
    line.offsets.clear()
    for _ in range(10):
        line.tick()
        line.hear()
    assert len(line.offsets) == 10
    assert all(abs(offset - LAG) <= HOLE_S * RATE for offset in line.offsets)


def test_audio_of_the_caller_that_was_lost_is_made_up_for_within_seconds() -> None:
    line = Line()
    for _ in range(10):
        line.tick()
        line.hear()
    for _ in range(12):  # 240 ms are lost, too little to be a hole
        line.tick()
    line.heard += 12 * FRAME
    for _ in range(250):
        line.tick()
        line.hear()
    assert line.offsets[-1] == LAG
    assert line.reference.realigned == 1


def test_audio_of_the_caller_that_comes_sooner_than_it_used_to_is_next_to_the_newest() -> None:
    line = Line()
    line.tick()
    line.hear()
    line.hear(5)  # what was late at first
    for _ in range(20):
        line.tick()
        line.hear()
    assert line.reference.realigned
    last = line.heard - line.offsets[-1]
    assert 0 <= line.played - last <= LAG


def test_it_keeps_two_seconds_at_most() -> None:
    reference = EchoReference(RATE)
    for tick in range(1_000):
        reference.played(b"\1\0" * FRAME)
        reference.played_until(tick * 0.02)
    reference.take(2)
    assert len(reference._waiting) <= 2 * MOST_S * RATE


def test_a_clock_that_stood_leaves_two_seconds_of_silence_at_most() -> None:
    reference = EchoReference(RATE)
    reference.played_until(0.0)
    reference.take(2 * FRAME)
    reference.played_until(3600.0)
    assert len(reference._waiting) <= 2 * MOST_S * RATE


def test_silence_is_counted_right_after_the_clock_stood() -> None:
    line = Line()
    for _ in range(50):
        line.tick()
        line.hear()
    line.now += 60.0  # the gateway's process was stopped
    line.reference.played_until(line.now)
    line.hear()
    before = line.reference.realigned
    for _ in range(3):  # the bot speaks, and is silent
        for _ in range(20):
            line.tick()
            line.hear()
        for _ in range(20):
            line.now += 0.02
            line.reference.played_until(line.now)
            line.hear()
    assert line.reference.realigned == before


def test_a_longer_lag_compares_with_what_was_played_earlier_and_a_shorter_one_with_later() -> None:
    line = Line()
    for lag_ms in (LAG_MS, 500, 300, LAG_MS):
        line.reference.set_lag(lag_ms)
        for _ in range(40):
            line.tick()
            line.hear()
        assert line.offsets[-1] == RATE * lag_ms // 1000
