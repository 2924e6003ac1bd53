"""How late the bot's echo comes back: measured while the bot speaks and the caller does not. No I/O.

A canceller finds the delay by itself up to half a second. A call that goes through a carrier to a mobile phone and back
takes longer. So the loudness of what was played is compared with that of what is heard, in steps of 10 ms, at each
delay up to 1.2 s. An echo follows what was played: over the six speakerphones of `benchmarks/clean_sound.py` and two
with 700 and 900 ms the correlation is 0.77 to 0.94 at the right delay, and 0.63 at most while a caller speaks.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["AUDIBLE_DBFS", "EchoDelay"]

STEP_MS = 10
LONGEST_MS = 1200
WINDOW_MS = 5000
EVERY_MS = 1000
"""How often the delay is looked for."""
LEAST = 0.7
"""Less correlation than this is no echo."""
ACTIVE = 0.2
"""So much of the window the bot must have spoken."""
AUDIBLE_DBFS = -50.0
"""The bot is taken for speaking while what was played is louder than this."""

_FLOOR = 100.0  # of a step's power: what is quieter than 10 of 32768 is silence
_AUDIBLE = np.log10(32768.0**2 * 10 ** (AUDIBLE_DBFS / 10))
_LAGS = LONGEST_MS // STEP_MS


class EchoDelay:
    """Looks for the delay of an echo.

    Args:
        rate: The sample rate of both sides in Hz; 10 ms are a whole number of samples.
    """

    def __init__(self, rate: int) -> None:
        self._step = rate * STEP_MS // 1000
        self._far: deque[float] = deque(maxlen=WINDOW_MS // STEP_MS)
        self._near: deque[float] = deque(maxlen=WINDOW_MS // STEP_MS)
        self._since = 0

    def add(self, far: NDArray[np.int16], near: NDArray[np.int16]) -> int | None:
        """Take whole steps of both sides.

        Args:
            far: What was played, int16 of shape ``[n]``.
            near: What was heard at the same time, int16 of shape ``[n]``.

        Returns:
            The delay in ms, if one was found now.
        """
        self._far.extend(self._loudness(far))
        self._near.extend(self._loudness(near))
        self._since += len(far) // self._step
        if self._since * STEP_MS < EVERY_MS or len(self._far) * STEP_MS < WINDOW_MS:
            return None
        self._since = 0
        return self._find()

    def forget(self) -> None:
        """Begin anew, because the two sides have been shifted."""
        self._far.clear()
        self._near.clear()

    def _loudness(self, pcm: NDArray[np.int16]) -> list[float]:
        steps = pcm.reshape(-1, self._step).astype(np.float32)
        powers = np.einsum("ij,ij->i", steps, steps) / self._step
        loudness: list[float] = np.log10(powers + _FLOOR).tolist()
        return loudness

    def _find(self) -> int | None:
        far, near = np.array(self._far), np.array(self._near)[_LAGS:]
        if (far > _AUDIBLE).mean() < ACTIVE:
            return None
        each = np.lib.stride_tricks.sliding_window_view(far, len(near))[_LAGS:0:-1]  # by lag, none first
        each = each - each.mean(axis=1, keepdims=True)
        near = near - near.mean()
        spread = np.sqrt((each**2).sum(axis=1) * (near**2).sum())
        alike = each @ near / np.maximum(spread, 1e-9)
        best = int(np.argmax(alike))
        return best * STEP_MS if alike[best] >= LEAST else None
