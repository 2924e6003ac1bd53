"""The bounds of speech in a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import first_sound, last_sound, speech_bounds
from piopiy_pipeline.audio.wav import read_wav

RATE = 16000
RECORDINGS = sorted(Path(__file__).parent.glob("*/*.wav"))


def tone(seconds: float, amplitude: float = 8000) -> NDArray[np.int16]:
    return (amplitude * np.sin(2 * np.pi * 220 * np.arange(int(seconds * RATE)) / RATE)).astype(np.int16)


def silence(seconds: float, noise: float = 0.0) -> NDArray[np.int16]:
    return (np.random.default_rng(1).standard_normal(int(seconds * RATE)) * noise).astype(np.int16)


@pytest.mark.parametrize("noise", [0.0, 1.0, 60.0])
def test_speech_is_found_between_silences_to_a_few_milliseconds(noise: float) -> None:
    pcm = np.concatenate([silence(0.3, noise), tone(1.0), silence(0.5, noise)])
    bounds = speech_bounds(pcm, RATE)
    assert bounds is not None
    assert abs(bounds.start / RATE - 0.3) <= 0.01
    assert abs(bounds.end / RATE - 1.3) <= 0.01


def test_a_pause_inside_belongs_to_the_speech() -> None:
    pcm = np.concatenate([tone(0.2), silence(1.0), tone(0.2), silence(0.4)])
    assert speech_bounds(pcm, RATE) == (0, int(1.4 * RATE))


@pytest.mark.parametrize("seconds", [0.0001, 0.005, 0.03, 0.07, 0.08])
def test_a_recording_may_be_shorter_than_what_is_looked_at_around_a_sound(seconds: float) -> None:
    assert speech_bounds(silence(seconds), RATE) is None
    found = speech_bounds(tone(seconds), RATE)
    assert found == ((0, int(seconds * RATE)) if seconds >= 0.02 else None)


def test_a_click_is_no_speech() -> None:
    click = np.full(40, 20000, np.int16)
    pcm = np.concatenate([silence(0.2), click, silence(0.5), tone(0.5), silence(0.5), click, silence(0.1)])
    bounds = speech_bounds(pcm, RATE)
    assert bounds is not None
    assert abs(bounds.start / RATE - 0.7) <= 0.02
    assert abs(bounds.end / RATE - 1.2) <= 0.02


def test_a_recording_that_is_all_speech_is_speech_from_end_to_end() -> None:
    assert speech_bounds(tone(0.5), RATE) == (0, RATE // 2)


@pytest.mark.parametrize("pcm", [np.zeros(0, np.int16), silence(1.0), silence(1.0, 2.0)])
def test_there_is_none_in_silence(pcm: NDArray[np.int16]) -> None:
    assert speech_bounds(pcm, RATE) is None


@pytest.mark.parametrize("path", RECORDINGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_bounds_of_the_recordings_leave_out_their_margins(path: Path) -> None:
    # The script that makes them puts 0.2 s of silence on both sides.
    for rate in (8000, 16000):
        pcm = read_wav(path, rate)
        bounds = speech_bounds(pcm, rate)
        assert bounds is not None
        assert 0.15 <= bounds.start / rate <= 0.35
        assert 0.15 <= (pcm.size - bounds.end) / rate <= 0.40


def test_the_first_and_the_last_sound_of_a_frame_are_sample_exact() -> None:
    frame = np.zeros(320, np.int16)
    assert first_sound(frame) is None
    assert last_sound(frame) is None
    frame[100], frame[200] = -500, 500
    assert (first_sound(frame), last_sound(frame)) == (100, 200)
    frame[:] = -32768
    assert (first_sound(frame), last_sound(frame)) == (0, 319)
