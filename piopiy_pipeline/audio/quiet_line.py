"""Says when nobody has been audible on a line for a while, by level. Without I/O.

What is so soft is no speech to the VAD, whatever its model says. While a line is quiet, nothing hangs on a piece of its
audio that comes a little later, and an agent need not wake for each of them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["FLOOR_DBFS", "FLOOR_POWER", "QuietLine"]

FLOOR_DBFS = -50.0
"""A window of the VAD below this mean level is not speech, whatever the model says."""
FLOOR_POWER = 10 ** (FLOOR_DBFS / 10)
"""The same as mean power, 1.0 at full scale."""
QUIET_S = 1.5
"""A line is quiet when so much of it was soft: by then what was said before has been decided on."""
_PIECE_S = 0.020
"""Longer pieces are not taken for soft. A window of 32 ms that reaches the floor overlaps three of these at most, which
are 60 ms, so one of them has more than half of that power."""


class QuietLine:
    """Follows one line of PCM16 mono.

    Args:
        rate: Its sample rate in Hz.
    """

    def __init__(self, rate: int) -> None:
        self._soft_energy = FLOOR_POWER / 2 * 32768.0**2  # of one sample, on average
        self._longest = round(_PIECE_S * rate) * 2
        self._enough = round(QUIET_S * rate) * 2
        self._soft_bytes = 0

    @property
    def quiet(self) -> bool:
        """Whether nothing was loud for `QUIET_S`."""
        return self._soft_bytes >= self._enough

    def hear(self, pcm: bytes) -> None:
        """Take a piece of it, whole samples of PCM16 little-endian."""
        if len(pcm) > self._longest:
            self._soft_bytes = 0
            return
        signal = np.frombuffer(pcm, "<i2").astype(np.float32)
        if float(np.dot(signal, signal)) < self._soft_energy * len(signal):
            self._soft_bytes += len(pcm)
        else:
            self._soft_bytes = 0
