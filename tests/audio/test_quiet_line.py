"""A line is quiet when nothing on it was as loud as speech for a while."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from piopiy_pipeline.audio.frame import frame_samples
from piopiy_pipeline.audio.quiet_line import FLOOR_DBFS, FLOOR_POWER, QUIET_S, QuietLine


def noise(dbfs: float, samples: int) -> NDArray[np.int16]:
    return np.random.default_rng(1).normal(0, 32768 * 10 ** (dbfs / 20), samples).astype(np.int16)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_line_with_soft_noise_is_quiet_after_a_while_and_until_something_is_loud(rate: int) -> None:
    line, frame = QuietLine(rate), frame_samples(rate)
    soft, loud = noise(FLOOR_DBFS - 6, frame).tobytes(), noise(FLOOR_DBFS, frame).tobytes()
    for _ in range(round(QUIET_S / 0.02)):
        assert not line.quiet
        line.hear(soft)
    assert line.quiet
    line.hear(loud)
    assert not line.quiet
    for _ in range(200):
        line.hear(soft[: len(soft) // 2])
    assert line.quiet
    line.hear(soft * 2)
    assert not line.quiet, "what is long is not looked into"


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_window_that_may_be_speech_never_lies_in_frames_that_are_soft(rate: int) -> None:
    """However the energy of a window that just reaches the floor lies in the frames that it overlaps."""
    dice = np.random.default_rng(2)
    frame, window = frame_samples(rate), rate * 32 // 1000
    for _ in range(2000):
        pcm = np.zeros(frame * 4, np.int16)
        at = int(dice.integers(len(pcm) - window))
        shape = dice.random(window) ** float(dice.integers(1, 12))
        pcm[at : at + window] = np.ceil(shape * 32768 * np.sqrt(FLOOR_POWER / np.mean(shape**2)))
        line = QuietLine(rate)
        for _ in range(100):
            line.hear(bytes(2 * frame))
        quiet = True
        for start in range(0, len(pcm), frame):
            line.hear(pcm[start : start + frame].tobytes())
            quiet = quiet and line.quiet
        assert not quiet
