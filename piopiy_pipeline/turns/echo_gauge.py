"""Tells the bot's own echo from the caller's voice, by their loudness. Without I/O.

A speakerphone sends back what it plays, later and weaker. The loudness of what comes in then goes up and down with what
went out. How much later and how much weaker is learnt in the call. What is no louder than the echo that is
expected is no caller. The samples cannot be compared here: only the gateway has them at their exact time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["EchoGauge"]

WINDOW_S = 0.032
LAGS = 20
"""An echo comes back after 0.6 s at most: 0.2 s of a network each way, and the room."""
LEARNT_WINDOWS = 94
"""The last three seconds are looked at."""
LEAST_WINDOWS = 10
"""So many windows in which the bot was loud are needed: 0.3 s."""
CORRELATED = 0.7
"""From this correlation of the loudness on, what comes in is taken for an echo."""
UNRELATED = 0.3
"""Below this at every delay, there is no echo any more."""
MARGIN_DB = 8.0
"""So much louder than the echo is a caller who speaks over it."""
_FLOOR_DB = -60.0
_FLOOR_POWER = 10 ** (_FLOOR_DB / 10)
_LOUD_DB = 25.0  # the bot speaks where it is no further below its loudest


class EchoGauge:
    """Follows both directions of one call, window by window."""

    def __init__(self) -> None:
        self._in: deque[float] = deque(maxlen=LEARNT_WINDOWS + LAGS)
        self._out: deque[float] = deque(maxlen=LEARNT_WINDOWS + LAGS)
        self._lag: int | None = None
        self._gain_db = 0.0

    @property
    def heard(self) -> bool:
        """Whether the line sends an echo, as far as is known."""
        return self._lag is not None

    def window(self, power_in: float, power_out: float) -> None:
        """Take 32 ms: the mean power of what came in, and of what was played meanwhile, 1.0 at full scale."""
        self._in.append(power_in)  # decibels are only of interest where somebody asks, which is seldom
        self._out.append(power_out)

    def explains(self) -> bool:
        """Return whether the last window is no louder than the echo that is expected in it."""
        if self._lag is None or len(self._out) <= self._lag + 1:
            return False
        # the room rings on, and the lag is known to a window only
        near = [
            self._out[-1 - lag] for lag in range(max(0, self._lag - 1), min(len(self._out), self._lag + 4))
        ]
        came, went = _decibels([self._in[-1], max(near)])
        return bool(came <= max(went + self._gain_db, _FLOOR_DB) + MARGIN_DB)

    def learn(self) -> None:
        """Look for an echo in the last seconds. Called where there is a sound over the bot's speech: not always, for
        it costs more than the rest.
        """
        if not self._in:  # a VAD of the author's tells no windows
            return
        came, went = _decibels(self._in), _decibels(self._out)
        correlations = _correlations(came, went)
        if not np.isfinite(correlations).any():
            return
        lag = int(np.nanargmax(correlations))
        if correlations[lag] >= CORRELATED:
            self._lag, self._gain_db = lag, _gain_db(came[lag:], went[: len(went) - lag])
        elif correlations[lag] < UNRELATED:
            self._lag = None  # the caller has taken up the receiver


def _correlations(came: NDArray[np.float64], went: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each lag the correlation of what came with what had gone out so many windows before.

    Args:
        came: The loudness of what came in, in dB, a window each.
        went: The loudness of what went out meanwhile, as many windows.

    Returns:
        One number a lag; not a number where they do not tell, because the bot was hardly loud or one of them varies by
        less than 1 dB.
    """
    lags = np.arange(max(0, min(LAGS, len(went) - LEAST_WINDOWS)))
    sizes = len(went) - lags
    tells = _loud_windows(went, sizes) >= LEAST_WINDOWS
    came, went = came - came.mean(), went - went.mean()  # so that no digits are lost in the sums
    came_sums, went_sums = _sums_from(came)[lags], _sums_to(went)[sizes]
    came_varies = _sums_from(came**2)[lags] - came_sums**2 / sizes
    went_varies = _sums_to(went**2)[sizes] - went_sums**2 / sizes
    together = np.correlate(came, went, "full")[len(went) - 1 + lags] - came_sums * went_sums / sizes
    tells &= np.minimum(came_varies, went_varies) >= sizes
    found = np.full(len(lags), np.nan)
    np.divide(
        together, np.sqrt(came_varies * went_varies, where=tells, out=np.ones(len(lags))), found, where=tells
    )
    return found


def _sums_to(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of the first 0, 1, 2 ... values."""
    return np.concatenate(([0.0], np.cumsum(values)))


def _sums_from(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sums of all values from the first, the second ... on."""
    return np.cumsum(values[::-1])[::-1]


def _loud_windows(went: NDArray[np.float64], sizes: NDArray[np.int_]) -> NDArray[np.int_]:
    """Return how many of the first so many windows are loud, among these."""
    if not len(sizes):
        return sizes
    floors = np.maximum(np.maximum.accumulate(went)[sizes - 1] - _LOUD_DB, _FLOOR_DB + 5)
    within = np.arange(len(went)) < sizes[:, None]
    loud: NDArray[np.int_] = np.count_nonzero((went > floors[:, None]) & within, axis=1)
    return loud


def _gain_db(came: NDArray[np.float64], went: NDArray[np.float64]) -> float:
    """Return how much louder the first stretch is where the second is loud, in dB."""
    loud = went > max(float(went.max(initial=_FLOOR_DB)) - _LOUD_DB, _FLOOR_DB + 5)
    return float(np.median((came - went)[loud]))


def _decibels(powers: Sequence[float]) -> NDArray[np.float64]:
    decibels: NDArray[np.float64] = 10 * np.log10(np.maximum(powers, _FLOOR_POWER))
    return decibels
