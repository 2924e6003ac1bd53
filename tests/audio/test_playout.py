"""The playout clock: what it plays when, what counts as heard, and what it tells of it."""

from __future__ import annotations

import pytest

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.playout import Playout, PlayoutError, Progress

RATE = 16000
FRAME = 320


def pcm(samples: int, value: int = 1) -> bytes:
    return value.to_bytes(2, "little", signed=True) * samples


def play(playout: Playout, *, begin: float, ticks: int) -> tuple[list[bytes], list[Progress]]:
    """Tick exactly on time."""
    frames: list[bytes] = []
    progress: list[Progress] = []
    for n in range(ticks):
        tick = playout.tick(begin + n * FRAME_S)
        frames += tick.frames
        progress += tick.progress
    return frames, progress


def test_speech_leaves_one_frame_each_20_ms_however_early_it_came() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(10 * FRAME))
    assert [len(playout.tick(n * FRAME_S).frames) for n in range(11)] == [1] * 10 + [0]


def test_nothing_is_due_while_there_is_nothing_to_play() -> None:
    playout = Playout(rate=RATE)
    assert playout.tick(0.0).frames == ()
    assert playout.tick(5.0).progress == ()
    assert not playout.playing


def test_due_times_do_not_drift_when_every_tick_is_a_little_late() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(500 * FRAME))
    sent = sum(len(playout.tick(n * FRAME_S + 0.004).frames) for n in range(500))
    assert sent == 500


def test_a_timer_that_fires_a_hair_early_is_on_time() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(3 * FRAME))
    assert [len(playout.tick(at).frames) for at in (0.0, 0.0195, 0.0395)] == [1, 1, 1]


def test_the_last_frame_is_filled_with_silence_and_only_its_samples_count_as_heard() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(FRAME + 100))
    frames, progress = play(playout, begin=0.0, ticks=3)
    assert frames[1] == pcm(100) + bytes(2 * (FRAME - 100))
    assert progress[-1] == Progress(epoch=0, position=FRAME + 100, dry=True)


def test_progress_is_told_with_the_first_sample_every_so_often_and_when_dry() -> None:
    playout = Playout(rate=RATE, played_every_ms=100)
    playout.write(pcm(12 * FRAME))
    _, progress = play(playout, begin=0.0, ticks=14)
    assert progress == [
        Progress(0, 1 * FRAME),
        Progress(0, 6 * FRAME),
        Progress(0, 11 * FRAME),
        Progress(0, 12 * FRAME, dry=True),
    ]


def test_progress_of_all_calls_is_told_at_the_same_moments() -> None:
    told: list[list[int]] = []
    for began in (3, 8, 11):
        playout = Playout(rate=RATE, played_every_ms=200)
        playout.write(pcm(40 * FRAME))
        told.append([n for n in range(began, 42) if playout.tick(1000 + n * FRAME_S).progress])
    assert told == [[3, 10, 20, 30, 40], [8, 10, 20, 30, 40], [11, 20, 30, 40]]


def test_clear_empties_the_clock_at_once_and_tells_the_exact_position() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(50 * FRAME))
    play(playout, begin=0.0, ticks=7)
    assert playout.clear(1) == 7 * FRAME
    assert playout.tick(7 * FRAME_S).frames == ()
    assert (playout.epoch, playout.position, playout.buffered_s) == (1, 0, 0.0)


def test_after_a_clear_positions_begin_again_and_nothing_more_is_told_of_the_old_epoch() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(50 * FRAME))
    play(playout, begin=0.0, ticks=7)
    playout.clear(1)
    playout.write(pcm(2 * FRAME, value=2))
    frames, progress = play(playout, begin=0.2, ticks=4)
    assert frames == [pcm(FRAME, value=2)] * 2
    assert progress == [Progress(1, FRAME), Progress(1, 2 * FRAME, dry=True)]


def test_an_epoch_that_does_not_grow_is_a_fault() -> None:
    playout = Playout(rate=RATE)
    playout.clear(3)
    with pytest.raises(PlayoutError, match="epochs must grow"):
        playout.clear(3)


def test_more_than_ten_seconds_ahead_is_a_fault_and_half_a_sample_too() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(10 * RATE))
    with pytest.raises(PlayoutError, match="more than 10 s"):
        playout.write(pcm(1))
    with pytest.raises(PlayoutError, match="16-bit"):
        Playout(rate=RATE).write(b"\0")


def test_a_stall_of_the_clock_is_caught_up_within_bounds() -> None:
    playout = Playout(rate=RATE, catch_up_ms=200)
    playout.write(pcm(400 * FRAME))
    playout.tick(0.0)
    assert len(playout.tick(0.1).frames) == 5, "a short stall is made up for"
    assert playout.gaps == 0
    assert len(playout.tick(3.1).frames) == 10, "a long one is not"
    assert [len(playout.tick(3.1 + n * FRAME_S).frames) for n in (1, 2, 3)] == [1, 1, 1]
    assert playout.gaps == 1
    assert playout.worst_gap_s == pytest.approx(2.8, abs=0.05)


def test_more_speech_soon_after_running_dry_is_a_gap() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(2 * FRAME))
    play(playout, begin=0.0, ticks=3)  # dry at 0.04
    playout.write(pcm(FRAME))
    play(playout, begin=0.16, ticks=3)
    assert playout.gaps == 1
    assert playout.worst_gap_s == pytest.approx(0.12)


def test_a_new_stretch_of_speech_after_a_pause_is_none() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(2 * FRAME))
    play(playout, begin=0.0, ticks=3)
    playout.write(pcm(FRAME))
    play(playout, begin=1.0, ticks=3)
    assert playout.gaps == 0


def test_nor_is_speech_after_an_interruption() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(2 * FRAME))
    play(playout, begin=0.0, ticks=3)
    playout.clear(1)
    playout.write(pcm(FRAME))
    play(playout, begin=0.1, ticks=3)
    assert playout.gaps == 0


def test_on_hold_speech_waits_and_goes_on_where_it_was_without_a_burst_or_a_gap() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(20 * FRAME))
    play(playout, begin=0.0, ticks=5)
    for _ in range(100):
        playout.pause()
    frames, progress = play(playout, begin=30.0, ticks=16)
    assert len(frames) == 15
    assert progress[0] == Progress(0, 6 * FRAME)
    assert progress[-1] == Progress(0, 20 * FRAME, dry=True)
    assert playout.gaps == 0


def test_speech_that_came_to_its_end_just_before_a_hold_is_told_as_heard() -> None:
    playout = Playout(rate=RATE)
    playout.write(pcm(2 * FRAME))
    play(playout, begin=0.0, ticks=2)
    playout.pause()
    assert playout.tick(9.0).progress == (Progress(0, 2 * FRAME, dry=True),)
    assert playout.tick(9.02).progress == ()
