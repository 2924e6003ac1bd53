"""Tells the caller's own speech from voices behind it, by level. Without I/O.

In a room full of people the VAD goes on hearing speech when the caller has finished, and the turn would not end. What
is so much quieter than the caller was just now is not the caller, if it is no louder than what goes on behind them. On
a quiet line nothing is near what goes on behind, so soft ends of words count as speech there.
"""

from __future__ import annotations

from collections import deque

__all__ = ["CallerLevel"]

BELOW_DB = 12.0
"""So much below the loudest speech of the caller begins what may be somebody else."""
ABOVE_FLOOR_DB = 12.0
"""Voices behind are so much louder, at their loudest, than they all are at their quietest."""
CROWDED_DB = 30.0
"""Where the quietest that goes on behind is no further below the caller's loudest, soft words drown. With voices 15 dB
below the caller's mean it is so nine times in ten."""
FORGETS_DB_A_S = 1.0
"""The caller's loudest speech is forgotten so quickly: eight seconds later a voice 20 dB below it is heard again."""
FLOOR_S = 4.0
"""What goes on behind is the quietest within this time. Nobody speaks so long without a gap."""
SMOOTHED_WINDOWS = 3


class CallerLevel:
    """Follows the levels of the caller and of what goes on behind.

    Args:
        window_s: The duration of a window in seconds.
    """

    def __init__(self, *, window_s: float) -> None:
        self._forgets = 10 ** (-FORGETS_DB_A_S * window_s / 10)
        self._below = 10 ** (-BELOW_DB / 10)
        self._crowded = 10 ** (-CROWDED_DB / 10)
        self._above = 10 ** (ABOVE_FLOOR_DB / 10)
        self._windows = round(FLOOR_S / window_s)
        self._loudest = 0.0
        self._last: deque[float] = deque(maxlen=SMOOTHED_WINDOWS)
        self._lows: deque[tuple[int, float]] = (
            deque()
        )  # of the last windows: those that may become the least, rising
        self._number = 0
        self._quietest = 0.0

    @property
    def crowded(self) -> bool:
        """Whether voices or noise go on behind the caller, loud enough to be taken for speech."""
        return self._quietest > self._loudest * self._crowded > 0

    def is_near(self, voiced: bool, power: float) -> bool:
        """Take a window, and return whether it is as loud as the caller.

        Args:
            voiced: Whether the VAD takes it for speech.
            power: Its mean power, 1.0 at full scale.
        """
        self._loudest *= self._forgets
        if voiced and power > self._loudest:
            self._loudest = power
        self._quietest = self._floor(power)
        return power >= min(self._loudest * self._below, self._quietest * self._above)

    def _floor(self, power: float) -> float:
        self._last.append(power)
        mean = sum(self._last) / len(self._last)
        lows, self._number = self._lows, self._number + 1
        while lows and lows[-1][1] >= mean:
            lows.pop()
        lows.append((self._number, mean))
        if lows[0][0] <= self._number - self._windows:
            lows.popleft()
        return lows[0][1]
