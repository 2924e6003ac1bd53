"""What the callers of `density` say, and when each begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.wav import read_wav

__all__ = ["STAGGER_S", "caller_frames", "stagger_s"]

RECORDINGS = Path(__file__).parent.parent / "tests" / "audio"
ROUND_S = 15.0
STAGGER_S = 0.37
"""Between two calls: callers do not speak in chorus."""
ALL_BEGIN_S = 15.0
"""Many calls follow each other more closely, so that all have begun after this time."""


def stagger_s(calls: int) -> float:
    """Return the seconds between two of so many calls."""
    return min(STAGGER_S, ALL_BEGIN_S / calls)


def caller_frames(rate: int) -> list[bytes]:
    """Return one round of a caller: a request, and after four seconds a change of mind during the bot's
    answer.
    """
    noise = np.random.default_rng(0)
    pieces = []
    for piece in (0.8, "booking/01-people.wav", 4.0, "correction/02-change.wav", ROUND_S):
        if isinstance(piece, str):
            pieces.append(read_wav(RECORDINGS / piece, rate))
        else:
            pieces.append(noise.normal(0, 3, int(piece * rate)).astype(np.int16))
    pcm = np.concatenate(pieces)[: int(ROUND_S * rate)].tobytes()
    step = int(FRAME_S * rate) * 2
    return [pcm[at : at + step] for at in range(0, len(pcm), step)]
