"""Finds where somebody speaks in a recording, by its energy alone.

Latencies are measured from the last sample of speech, and a recording rarely ends with it. This is for
recordings, which are analysed as a whole; live audio needs the VAD.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["SILENCE_PEAK", "SpeechBounds", "first_sound", "last_sound", "speech_bounds"]

SILENCE_PEAK = 100
"""A received sample is silence below this (-50 dBFS): codecs, resamplers and dither stay under it."""

_WINDOW_S = 0.005
_FLOOR_DBFS = -60.0
_BELOW_PEAK_DB = 36.0
_ABOVE_NOISE_DB = 9.0
_MIN_FRAMES = 4  # of 8: shorter bursts are clicks
_SPAN = 8


class SpeechBounds(NamedTuple):
    """The first sample of speech, and one past the last."""

    start: int
    end: int


def speech_bounds(pcm: NDArray[np.int16], rate: int) -> SpeechBounds | None:
    """Find where speech begins and ends in a recording, to 5 ms.

    Speech is within 36 dB of the loudest 5 ms and 9 dB above the recording's own noise; bursts shorter than
    20 ms are clicks.

    Args:
        pcm: int16 mono of shape ``[samples]``.
        rate: Sample rate in Hz.

    Returns:
        The bounds, or None if there is no speech.
    """
    size = max(1, int(rate * _WINDOW_S))
    count = -(-pcm.size // size)
    if count == 0:
        return None
    padded = np.zeros(count * size, np.float64)
    padded[: pcm.size] = pcm
    power = np.square(padded.reshape(count, size)).mean(axis=1)
    level = 10.0 * np.log10(np.maximum(power, 1e-3) / 32768.0**2)
    peak = float(level.max())
    # In a recording that is all speech the quietest tenth is speech too: ask for half the way at most.
    noise = min(float(np.percentile(level, 10)) + _ABOVE_NOISE_DB, peak - _BELOW_PEAK_DB / 2)
    loud = level >= max(_FLOOR_DBFS, peak - _BELOW_PEAK_DB, noise)
    # Not mode="same": that is as long as the longer of the two, and a recording may be the shorter one.
    around = np.convolve(loud, np.ones(2 * _SPAN - 1))[_SPAN - 1 : _SPAN - 1 + count]
    speech = np.flatnonzero(loud & (around >= _MIN_FRAMES))
    if speech.size == 0:
        return None
    return SpeechBounds(int(speech[0]) * size, min(int(speech[-1] + 1) * size, pcm.size))


def first_sound(pcm: NDArray[np.int16]) -> int | None:
    """Return the index of the first sample that is not silence (`SILENCE_PEAK`); None when all are."""
    loud = np.flatnonzero(_loud(pcm))
    return int(loud[0]) if loud.size else None


def last_sound(pcm: NDArray[np.int16]) -> int | None:
    """Return the index of the last sample that is not silence (`SILENCE_PEAK`); None when all are."""
    loud = np.flatnonzero(_loud(pcm))
    return int(loud[-1]) if loud.size else None


def _loud(pcm: NDArray[np.int16]) -> NDArray[np.bool_]:
    return (pcm >= SILENCE_PEAK) | (pcm <= -SILENCE_PEAK)
