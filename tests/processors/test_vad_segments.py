"""The segmentation: which windows begin and end speech."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pipecat.audio.utils import exp_smoothing
from pipecat.audio.volume import AudioVolumeTracker

from piopiy_pipeline.processors.vad_segments import LoudnessMeter, Segmenter, VadEvent, VadSettings

WINDOW_S = 0.032
LOUD = 10 ** (-20 / 10)
FAINT = 10 ** (-60 / 10)


def events(segmenter: Segmenter, probabilities: str, power: float = LOUD) -> list[tuple[int, VadEvent]]:
    """Windows as text, `#` voiced and `.` not, to events with the number of their window, from 1."""
    return [
        (number, event)
        for number, sign in enumerate(probabilities, 1)
        for event in segmenter.window(0.9 if sign == "#" else 0.1, power)
    ]


def segmenter(activity_s: float = 0.0, **settings: float) -> Segmenter:
    return Segmenter(VadSettings(**settings), window_s=WINDOW_S, activity_s=activity_s)


def test_speech_starts_after_a_tenth_of_a_second_and_stops_after_two() -> None:
    assert events(segmenter(), "..####" + "." * 8) == [(5, VadEvent.STARTED), (12, VadEvent.STOPPED)]


def test_a_gap_while_speech_begins_starts_the_count_afresh() -> None:
    assert events(segmenter(), "##.##.##.") == []


def test_a_pause_shorter_than_stop_secs_does_not_end_speech() -> None:
    assert events(segmenter(), "###.....#.....#") == [(3, VadEvent.STARTED)]


def test_no_delay_at_all_can_be_asked_for() -> None:
    assert events(segmenter(start_secs=0, stop_secs=0), "#.") == [
        (1, VadEvent.STARTED),
        (2, VadEvent.STOPPED),
    ]


def test_a_window_below_the_floor_is_no_speech_whatever_the_model_says() -> None:
    assert events(segmenter(), "#####", FAINT) == []


def test_a_volume_of_zero_asks_for_no_gate_at_all() -> None:
    assert events(segmenter(min_volume=0.0), "###", 0.0) == [(3, VadEvent.STARTED)]


def test_the_loudness_gate_takes_the_place_of_the_floor_where_it_is_asked_for() -> None:
    gated = segmenter(min_volume=0.6)
    assert [gated.window(0.9, FAINT, volume) for volume in (0.5, 0.6, 0.7, 0.8)] == [
        (),
        (),
        (),
        (VadEvent.STARTED,),
    ]


def test_the_loudness_is_pipecats_own() -> None:
    tone = (np.sin(np.arange(16000) * 0.2) * 8000).astype(np.int16)
    windows = [tone[at : at + 512].tobytes() for at in range(0, 15872, 512)]
    meter, tracker, smoothed, expected = LoudnessMeter(16000), AudioVolumeTracker(), 0.0, []
    for window in windows:
        tracker.update(window, 16000)
        smoothed = exp_smoothing(tracker.volume, smoothed, 0.2)
        expected.append(smoothed)
    assert [meter.update(window) for window in windows] == expected
    assert expected[-1] > 0.5


def test_activity_is_told_at_the_start_and_then_once_a_period() -> None:
    told = [
        n for n, event in events(segmenter(activity_s=0.2), "#" * 16 + "." * 9) if event is VadEvent.ACTIVITY
    ]
    assert told == [3, 9, 15, 21]


def test_audio_that_ceases_stops_speech_once_and_it_may_start_again() -> None:
    cut = segmenter()
    events(cut, "####")
    assert cut.force_stop() == (VadEvent.STOPPED,)
    assert cut.force_stop() == ()
    assert events(cut, "...###") == [(6, VadEvent.STARTED)]


def test_new_settings_leave_speech_under_way_alone() -> None:
    changed = segmenter()
    events(changed, "####...")
    changed.apply(VadSettings(stop_secs=0.5))
    assert changed.speaking
    assert events(changed, "." * 20) == [(16, VadEvent.STOPPED)]


def test_new_settings_forget_a_beginning_of_speech() -> None:
    changed = segmenter()
    events(changed, "##")
    changed.apply(VadSettings(start_secs=0.064))
    assert changed.quiet
    assert events(changed, "##") == [(2, VadEvent.STARTED)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("confidence", 1.5),
        ("start_secs", -0.1),
        ("stop_secs", math.nan),
        ("min_volume", 7),
        ("confidence", True),
    ],
)
def test_a_value_out_of_range_names_its_key_and_the_range(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"vad: {key} must be a number from 0 to [\d.]+, got {value!r}"):
        VadSettings(**{key: value})


def test_a_pause_is_told_before_the_end_of_speech_and_again_after_more_speech() -> None:
    pausing = Segmenter(
        VadSettings(start_secs=0.096, stop_secs=0.256), window_s=0.032, activity_s=0, pause_s=0.1
    )
    assert events(pausing, "###....#........") == [
        (3, VadEvent.STARTED),
        (6, VadEvent.PAUSED),
        (11, VadEvent.PAUSED),
        (16, VadEvent.STOPPED),
    ]


def test_every_end_of_speech_has_its_pause_however_soon_it_comes() -> None:
    sudden = Segmenter(
        VadSettings(start_secs=0.032, stop_secs=0.032), window_s=0.032, activity_s=0, pause_s=0.1
    )
    assert events(sudden, "#.") == [(1, VadEvent.STARTED), (2, VadEvent.PAUSED), (2, VadEvent.STOPPED)]
    events(sudden, "#")
    assert sudden.force_stop() == (VadEvent.PAUSED, VadEvent.STOPPED)
