"""Fades of one frame, out and in, whose sum is the frame: speech that stops and goes on again loses no sample.

Speech that stops between two samples clicks. So it is faded out over the next 20 ms, which count as not played,
and when it goes on from the same sample those 20 ms come again, as what the fade had taken away. Without I/O.
"""

from __future__ import annotations

import numpy as np

__all__ = ["fade_out", "without"]


def fade_out(frame: bytes) -> bytes:
    """Return a frame that goes down to silence, linearly over its whole length.

    Args:
        frame: PCM16 little-endian mono.
    """
    samples = np.frombuffer(frame, "<i2").astype(np.int64)
    length = len(samples)
    down = np.arange(length, 0, -1)  # from all of the first sample to 1/length of the last
    return (samples * down // max(length, 1)).astype("<i2").tobytes()


def without(frame: bytes, faded: bytes) -> bytes:
    """Return what a fade has taken away from a frame: the same frame, fading in.

    Args:
        frame: PCM16 little-endian mono.
        faded: What was played of the frame's beginning, by `fade_out`. It may be shorter.
    """
    samples = np.frombuffer(frame, "<i2").copy()
    taken = np.frombuffer(faded, "<i2")[: len(samples)]
    samples[: len(taken)] -= taken  # a fade never exceeds its sample, so nothing overflows
    return samples.astype("<i2").tobytes()
