"""What has come to a caller's ear: stretches of sound between pauses, with times to the sample.

Apart from the caller's script because its latencies are worth no more than these times are.
"""

from __future__ import annotations

from math import inf

import numpy as np
from numpy.typing import NDArray

from piopiy_pipeline.audio.speech import first_sound, last_sound

__all__ = ["PAUSE_S", "SpeechDetector"]

PAUSE_S = 0.3
"""Sound after less silence than this belongs to the same stretch: words are closer, answers are not."""


class SpeechDetector:
    """Listens without I/O: give it audio and the loop's time at which it came, in seconds.

    A frame that arrives at `now` is heard from `now` on, so its n-th sample sounds at
    ``now + n / rate``. Samples below `SILENCE_PEAK` are silence, sent or not.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.stretch_began_at = -inf
        """When the sound that is heard now, or was last, began."""
        self.last_sound_at = -inf
        """The end of the last sample that was not silence."""

    def hear(self, pcm: NDArray[np.int16], now: float) -> float | None:
        """Listen to mono PCM; returns the time of its first sound when that begins a new stretch."""
        first, last = first_sound(pcm), last_sound(pcm)
        if first is None or last is None:
            return None
        began = now + first / self.rate
        new = began - self.last_sound_at > PAUSE_S
        if new:
            self.stretch_began_at = began
        self.last_sound_at = max(self.last_sound_at, now + (last + 1) / self.rate)
        return began if new else None

    def sounding(self, now: float) -> bool:
        """Whether somebody is speaking: the last sound is no longer ago than a pause."""
        return now - self.last_sound_at <= PAUSE_S
