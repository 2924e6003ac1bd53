"""Call progress tones: ringback, and the sound of a call on hold.

Source: ITU-T E.180 (ringback 425 Hz, 1 s on and 4 s off, as in most of Europe and Asia); on hold, two
short soft notes every 5 s, so that the caller knows that the call goes on; while a bot works, one such pair, softer.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Literal

import numpy as np

from piopiy_pipeline.audio.frame import frame_bytes

__all__ = ["Tone", "ToneName", "working_sound"]

ToneName = Literal["ringback", "hold", "working"]
_EDGE_S = 0.005
_NOTES: dict[ToneName, list[tuple[float, float, float, float]]] = {  # start and length in s, Hz, level
    "ringback": [(0.0, 1.0, 425.0, 0.12)],
    "hold": [(0.0, 0.18, 523.25, 0.05), (0.24, 0.18, 659.25, 0.05)],
    "working": [(0.0, 0.09, 392.0, 0.03), (0.13, 0.09, 392.0, 0.03)],
}


class Tone:
    """A tone that repeats without end, in frames of 20 ms.

    Args:
        name: Which tone.
        rate: Sample rate in Hz.
    """

    def __init__(self, name: ToneName, rate: int) -> None:
        self._frames = _period(name, rate)
        self._at = 0

    def frame(self) -> bytes:
        """Return the next 20 ms: PCM16 little-endian mono."""
        frame = self._frames[self._at]
        self._at = (self._at + 1) % len(self._frames)
        return frame


@cache
def _period(name: ToneName, rate: int) -> Sequence[bytes]:
    sound = np.zeros(5 * rate)
    for start_s, length_s, hz, level in _NOTES[name]:
        at = np.arange(int(length_s * rate)) / rate
        edge = np.minimum(1, np.minimum(at, at[::-1]) / _EDGE_S)
        start = int(start_s * rate)
        sound[start : start + at.size] += level * edge * np.sin(2 * np.pi * hz * at)
    pcm = (32767 * sound).astype("<i2").tobytes()
    size = frame_bytes(rate)
    return tuple(pcm[i : i + size] for i in range(0, len(pcm), size))


def working_sound(rate: int) -> bytes:
    """Return the sound of a bot that is still at it, once: 0.24 s of PCM16 little-endian mono.

    Args:
        rate: Sample rate in Hz.
    """
    return b"".join(_period("working", rate))[: 2 * int(0.24 * rate)]
