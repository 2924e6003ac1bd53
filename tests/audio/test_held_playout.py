"""Speech that is held: silent at once, nothing thrown away, and heard again to the sample."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray

from piopiy_pipeline.audio.fade import fade_out
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.playout import Playout, PlayoutError, Progress

RATE = 16000
FRAME = 320
HELD_TICKS = round(Playout.HOLD_S / FRAME_S)


def speech(samples: int, first: int = 0) -> NDArray[np.int16]:
    """Return samples of which each tells its position."""
    return (np.arange(first, first + samples) % 30011 + 1000).astype("<i2")


@dataclass
class Line:
    """A playout that is ticked exactly on time, and everything that left it."""

    playout: Playout = field(default_factory=lambda: Playout(rate=RATE))
    at: float = 0.0
    heard: list[NDArray[np.int16]] = field(default_factory=list)
    progress: list[Progress] = field(default_factory=list)

    def tick(self, times: int = 1) -> None:
        for _ in range(times):
            tick = self.playout.tick(self.at)
            self.at += FRAME_S
            self.heard += [np.frombuffer(frame, "<i2") for frame in tick.frames] or [np.zeros(FRAME, "<i2")]
            self.progress += tick.progress

    def hold(self) -> int:
        return self.playout.hold(self.playout.epoch, self.at)


def line(samples: int = 100 * FRAME) -> Line:
    made = Line()
    made.playout.write(speech(samples).tobytes())
    return made


def test_it_is_silent_after_a_fade_of_one_frame() -> None:
    one = line()
    one.tick(5)
    assert one.hold() == 5 * FRAME
    one.tick(20)
    assert np.array_equal(one.heard[5], np.frombuffer(fade_out(speech(FRAME, 5 * FRAME).tobytes()), "<i2"))
    assert not np.concatenate(one.heard[6:]).any()
    assert one.playout.position == 5 * FRAME, "what fades does not count as heard"
    assert one.playout.held


def test_it_goes_on_from_the_held_sample_and_the_fades_make_a_whole() -> None:
    one = line(10 * FRAME)
    one.tick(5)
    one.hold()
    one.tick(20)
    one.playout.resume()
    one.tick(6)
    whole = np.concatenate([*one.heard[:5], one.heard[5] + one.heard[25], *one.heard[26:30]])
    assert np.array_equal(whole, speech(10 * FRAME))
    assert one.progress[-2] == Progress(0, 6 * FRAME), "the first frame of a stretch is told"
    assert one.progress[-1] == Progress(0, 10 * FRAME, dry=True)
    assert one.playout.gaps == 0


def test_it_goes_on_from_an_earlier_sample_with_a_fade_in() -> None:
    one = line(10 * FRAME)
    one.tick(5)
    one.hold()
    one.tick(3)
    one.playout.resume(3 * FRAME + 7)
    one.tick(8)
    again = np.concatenate(one.heard[8:15])[: 7 * FRAME - 7]
    assert np.array_equal(again[FRAME:], speech(6 * FRAME - 7, 4 * FRAME + 7))
    assert again[0] == 0
    assert (again[1:FRAME] < speech(FRAME, 3 * FRAME + 7)[1:]).all(), "it fades in"
    assert one.progress[-1] == Progress(0, 10 * FRAME, dry=True)


def test_a_second_hold_goes_back_behind_what_the_first_one_said_again() -> None:
    one = line(20 * FRAME)
    one.tick(8)
    one.hold()
    one.tick(2)
    one.playout.resume(5 * FRAME)
    one.tick(2)
    assert one.hold() == 7 * FRAME
    one.tick(2)
    one.playout.resume(2 * FRAME)
    one.tick(19)
    again = np.concatenate(one.heard[14:32])
    assert np.array_equal(again[FRAME:], speech(17 * FRAME, 3 * FRAME))


def test_it_goes_back_no_further_than_two_seconds() -> None:
    one = line(200 * FRAME)
    one.tick(150)
    one.hold()
    one.tick(2)
    one.playout.resume(0)
    assert one.playout.position == 150 * FRAME - 2 * RATE


def test_a_clear_after_a_hold_tells_the_held_position() -> None:
    one = line()
    one.tick(5)
    one.hold()
    one.tick(5)
    assert one.playout.clear(1) == 5 * FRAME
    one.playout.write(speech(FRAME).tobytes())
    one.tick()
    assert np.array_equal(one.heard[-1], speech(FRAME)), "what comes after it is not held and does not fade"


def test_a_clear_while_speech_is_said_again_tells_what_was_heard() -> None:
    one = line()
    one.tick(10)
    one.hold()
    one.tick(2)
    one.playout.resume(6 * FRAME)
    one.tick(1)
    assert one.playout.clear(1) == 10 * FRAME


def test_a_hold_that_nobody_decides_ends_by_itself() -> None:
    one = line(10 * FRAME)
    one.tick(5)
    one.hold()
    one.tick(149)
    assert one.playout.held
    one.tick(2)
    assert not one.playout.held
    one.tick(10)
    assert one.progress[-1] == Progress(0, 10 * FRAME, dry=True)
    one.playout.resume(0)
    one.tick()
    assert one.progress[-1] == Progress(0, 10 * FRAME, dry=True), (
        "a decision that comes too late does nothing"
    )


def test_a_second_hold_does_not_put_the_end_off() -> None:
    one = line()
    one.tick(5)
    for _ in range(151):
        assert one.hold() == 5 * FRAME
        one.tick()
    assert not one.playout.held


def test_what_is_written_while_it_is_held_waits() -> None:
    one = line(6 * FRAME)
    one.tick(5)
    one.hold()
    one.playout.write(speech(FRAME, 6 * FRAME).tobytes())
    one.tick(3)
    one.playout.resume()
    one.tick(3)
    assert np.array_equal(
        np.concatenate([one.heard[5] + one.heard[8], one.heard[9]]), speech(2 * FRAME, 5 * FRAME)
    )


def test_a_hold_before_any_speech_keeps_the_first_word() -> None:
    one = Line()
    assert one.hold() == 0
    one.playout.write(speech(FRAME).tobytes())
    one.tick(10)
    assert not np.concatenate(one.heard).any()
    one.playout.resume()
    one.tick()
    assert np.array_equal(one.heard[-1], speech(FRAME))


def test_a_hold_that_ends_before_it_was_heard_is_not_heard() -> None:
    one = line(10 * FRAME)
    one.tick(5)
    one.hold()
    one.playout.resume(2 * FRAME)
    one.tick(5)
    assert np.array_equal(np.concatenate(one.heard), speech(10 * FRAME))


def test_speech_that_came_to_its_end_before_the_hold_is_told_as_heard() -> None:
    one = line(2 * FRAME)
    one.tick(2)
    one.hold()
    one.tick(2)
    assert one.progress[-1] == Progress(0, 2 * FRAME, dry=True)
    assert one.progress.count(one.progress[-1]) == 1


def test_a_caller_put_on_hold_meanwhile_hears_no_fade_and_nothing_is_lost() -> None:
    one = line(10 * FRAME)
    one.tick(5)
    one.hold()
    one.playout.pause()
    one.tick(3)
    assert not np.concatenate(one.heard[5:]).any()
    one.playout.resume()
    one.tick(5)
    assert np.array_equal(np.concatenate(one.heard[8:]), speech(5 * FRAME, 5 * FRAME))


def test_speech_that_is_said_again_does_not_count_as_sent_ahead() -> None:
    playout = Playout(rate=RATE, limit_s=2.0)
    playout.write(bytes(4 * RATE))
    for n in range(100):
        playout.tick(n * FRAME_S)
    playout.hold(0, 2.0)
    playout.tick(2.0)
    playout.tick(2.02)
    playout.resume(0)
    playout.write(bytes(4 * RATE))
    with pytest.raises(PlayoutError, match="more than 2 s"):
        playout.write(bytes(2))


def test_another_epoch_and_a_position_ahead_are_faults() -> None:
    one = line()
    one.tick(5)
    with pytest.raises(PlayoutError, match="epoch 1"):
        one.playout.hold(1, one.at)
    one.hold()
    with pytest.raises(PlayoutError, match="held at"):
        one.playout.resume(5 * FRAME + 1)


class HeldSpeech(RuleBasedStateMachine):
    """Any order of writes, ticks, holds, resumes and clears: each sample is heard, in order, once; or once more
    where it was asked for.

    `due` is the position that must be heard next. What left the playout is compared with it frame by frame.
    """

    @initialize()
    def begin(self) -> None:
        self.playout = Playout(rate=RATE, limit_s=60)
        self.now = 0.0
        self.written = self.due = self.furthest = 0
        self.faded: NDArray[np.int16] | None = None
        self.again = False
        self.held_ticks: int | None = None

    @rule(samples=st.integers(0, 5 * FRAME))
    def write(self, samples: int) -> None:
        self.playout.write(speech(samples, self.written).tobytes())
        self.written += samples

    @rule(times=st.integers(1, 30))
    def tick(self, times: int) -> None:
        for _ in range(times):
            if self.held_ticks is not None and self.held_ticks >= HELD_TICKS:
                self.held_ticks = None  # by itself
            tick = self.playout.tick(self.now)
            self.now += FRAME_S
            for frame in tick.frames:
                self.hear(np.frombuffer(frame, "<i2"))
            if self.held_ticks is not None:
                self.held_ticks += 1
            for report in tick.progress:
                assert report.position == self.due
                assert report.dry == (self.due == self.written) or not report.dry

    def hear(self, frame: NDArray[np.int16]) -> None:
        left = min(FRAME, self.written - self.due)
        expected = np.zeros(FRAME, np.int16)
        expected[:left] = speech(left, self.due)
        if self.held_ticks is not None:
            assert self.faded is None, "it fades out once"
            self.faded = frame
            assert frame[0] == expected[0]
            assert (np.abs(frame) <= np.abs(expected)).all()
            return
        if self.again:
            assert (np.abs(frame) <= np.abs(expected)).all()
            assert frame[0] == 0
        elif self.faded is not None:
            assert np.array_equal(frame + self.faded, expected), "both fades make a whole"
        else:
            assert np.array_equal(frame, expected)
        self.faded, self.again = None, False
        self.due += left
        self.furthest = max(self.furthest, self.due)

    @rule()
    def hold(self) -> None:
        assert self.playout.hold(self.playout.epoch, self.now) == self.due
        if self.held_ticks is None:
            self.held_ticks = 0

    @rule()
    def resume(self) -> None:
        self.playout.resume()
        self.held_ticks = None

    @precondition(lambda self: self.held_ticks is not None)
    @rule(back=st.integers(0, 3 * RATE))
    def say_again(self, back: int) -> None:
        fading = self.held_ticks == 0 and self.faded is None and self.playout.playing
        position = max(0, self.due - back)
        self.playout.resume(position)
        if self.playout.position < self.due:
            assert not fading
            assert self.playout.position >= max(position, self.furthest - 2 * RATE)
            self.due, self.again, self.faded = self.playout.position, True, None
        self.held_ticks = None

    @rule()
    def clear(self) -> None:
        assert self.playout.clear(self.playout.epoch + 1) == self.furthest
        self.written = self.due = self.furthest = 0
        self.faded, self.again, self.held_ticks = None, False, None

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.playout.position == self.due
        assert round(self.playout.buffered_s * RATE) == self.written - self.due
        assert self.playout.held == (self.held_ticks is not None) or self.held_ticks == HELD_TICKS


TestHeldSpeech = HeldSpeech.TestCase
TestHeldSpeech.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
