"""Detects when somebody speaks in the audio that is heard: stretches of sound between pauses.

What a caller does next, and every latency that is measured at their end, depends on these times. So they are
exact to the sample.
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
    """Follows one direction of a call. Without I/O; all times are seconds of one clock.

    Audio that arrives at `now` is heard from `now` on, so its n-th sample sounds at ``now + n / rate``.
    Samples below `audio.speech.SILENCE_PEAK` count as silence.

    Args:
        rate: The sample rate of the audio in Hz.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.stretch_began_at = -inf
        """When the current stretch of sound began, or the last one; -inf before the first."""
        self.last_sound_at = -inf
        """The end of the last sample that was not silence; -inf before the first."""

    def hear(self, pcm: NDArray[np.int16], now: float) -> float | None:
        """Follow a piece of audio.

        Args:
            pcm: Mono, int16 of shape ``[samples]``.
            now: When its first sample is heard.

        Returns:
            When its first sound is heard, if a new stretch begins with that; else None.
        """
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
        """Return whether somebody speaks: whether the last sound is no longer ago than a pause."""
        return self.silent_for(now) <= PAUSE_S

    def silent_for(self, now: float) -> float:
        """Return the seconds since the last sound; infinite when there was none."""
        return now - self.last_sound_at
