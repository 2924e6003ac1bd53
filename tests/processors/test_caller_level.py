"""What is much quieter than the caller, and no louder than what goes on behind them, is not the caller."""

from __future__ import annotations

from collections.abc import Iterable

from piopiy_pipeline.processors.caller_level import CallerLevel
from piopiy_pipeline.processors.vad_segments import BEHIND_S, Segmenter, VadEvent, VadSettings

WINDOW_S = 0.032
BABBLE = (-40.0, -36.0, -38.0, -35.0)
"""Levels of windows of voices behind the caller in dBFS."""


def power(dbfs: float) -> float:
    return float(10 ** (dbfs / 10))


def heard(level: CallerLevel, windows: Iterable[tuple[bool, float]]) -> list[bool]:
    return [level.is_near(voiced, power(dbfs)) for voiced, dbfs in windows]


def babble(seconds: float) -> list[tuple[bool, float]]:
    return [(True, BABBLE[i % len(BABBLE)]) for i in range(round(seconds / WINDOW_S))]


def speech(seconds: float, dbfs: float = -20.0) -> list[tuple[bool, float]]:
    return [(True, dbfs)] * round(seconds / WINDOW_S)


def test_voices_behind_the_caller_are_not_the_caller() -> None:
    level = CallerLevel(window_s=WINDOW_S)
    assert all(heard(level, babble(1) + speech(1))[-20:])
    assert not any(heard(level, babble(2)))


def test_soft_speech_on_a_quiet_line_is_the_callers() -> None:
    level = CallerLevel(window_s=WINDOW_S)
    heard(level, [(False, -80.0)] * 20 + speech(1))
    assert all(heard(level, speech(1, dbfs=-45.0)))


def test_a_line_is_crowded_where_voices_go_on_behind() -> None:
    level = CallerLevel(window_s=WINDOW_S)
    assert not level.crowded
    heard(level, babble(1) + speech(1) + babble(0.3))
    assert level.crowded
    quiet = CallerLevel(window_s=WINDOW_S)
    heard(quiet, [(False, -70.0)] * 20 + speech(1) + [(False, -70.0)] * 10)
    assert not quiet.crowded


def test_a_caller_who_speaks_more_quietly_than_before_is_heard_after_a_few_seconds() -> None:
    level = CallerLevel(window_s=WINDOW_S)
    heard(level, babble(1) + speech(1))
    assert not any(heard(level, babble(1) + speech(0.2, dbfs=-36.0))[-6:])
    assert heard(level, babble(4) + speech(0.2, dbfs=-34.0))[-1]


def test_speech_stops_although_voices_behind_go_on() -> None:
    segmenter = Segmenter(VadSettings(), window_s=WINDOW_S, level=CallerLevel(window_s=WINDOW_S), pause_s=0.1)
    spoken = babble(1) + speech(1)
    for _, dbfs in spoken:
        segmenter.window(0.9, power(dbfs))
    assert segmenter.speaking
    events = [event for _, dbfs in babble(3) for event in segmenter.window(0.9, power(dbfs))]
    assert events == [VadEvent.ACTIVITY] * events.count(VadEvent.ACTIVITY) + [
        VadEvent.PAUSED,
        VadEvent.STOPPED,
    ]
    assert BEHIND_S - WINDOW_S <= segmenter.silence_s <= BEHIND_S + WINDOW_S
    assert not segmenter.speaking


def test_without_a_level_voices_behind_keep_the_speech_going() -> None:
    segmenter = Segmenter(VadSettings(), window_s=WINDOW_S)
    for _, dbfs in babble(1) + speech(1) + babble(3):
        segmenter.window(0.9, power(dbfs))
    assert segmenter.speaking


def test_the_silence_of_a_plain_stop_is_the_settings() -> None:
    segmenter = Segmenter(VadSettings(), window_s=WINDOW_S, level=CallerLevel(window_s=WINDOW_S))
    for _ in range(20):
        segmenter.window(0.9, power(-20.0))
    events = [event for _ in range(6) for event in segmenter.window(0.0, power(-80.0))]
    assert events[-1] is VadEvent.STOPPED
    assert segmenter.silence_s == VadSettings().stop_secs
