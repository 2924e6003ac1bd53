"""How long this caller pauses before going on, as learnt in the call. Without I/O.

Somebody who thinks aloud pauses for a second in each turn, and most people never do. What was learnt can only make the
bot wait longer: that a caller has not paused yet says little about the next sentence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

__all__ = ["CallerPauses"]

TURNS = 6
"""So many turns are remembered, which is a minute or two of talk."""
LEAST_S, MOST_S = 0.3, 2.5
"""Shorter pauses are between words. After longer ones the caller has begun something new."""
MARGIN = 1.25
"""The next pause may be so much longer than one that was made."""
WAIT_AT_MOST_S = 1.2


class CallerPauses:
    """Remembers the longest pause of each of the last turns.

    Args:
        longest_s: What was learnt before, in this call on another instance; see `longest_s`.
    """

    def __init__(self, longest_s: Sequence[float] = ()) -> None:
        self._turns: deque[float] = deque((float(one) for one in longest_s), maxlen=TURNS)
        self._now = 0.0

    @property
    def longest_s(self) -> list[float]:
        """The longest pause of each of the last turns in seconds, 0 where there was none, the last turn last.

        Empty if there was no pause at all.
        """
        return [round(one, 3) for one in self._turns] if any(self._turns) else []

    def add(self, pause_s: float) -> None:
        """Note that the caller went on after so many seconds, in the middle of a turn."""
        if LEAST_S <= pause_s <= MOST_S:
            self._now = max(self._now, pause_s)

    def add_cut(self, pause_s: float) -> None:
        """Note that the caller went on after so many seconds, although the turn had been taken for over.

        It counts for the turn that was ended, and for the one that it should have been part of.
        """
        if LEAST_S <= pause_s <= MOST_S:
            if self._turns:
                self._turns[-1] = max(self._turns[-1], pause_s)
            self._now = max(self._now, pause_s)

    def turn_over(self) -> None:
        """Begin to remember the next turn."""
        self._turns.append(self._now)
        self._now = 0.0

    @property
    def wait_s(self) -> float:
        """How long to wait after words that tell nothing: a pause of this caller and a little. 0 if nothing is known.

        One long pause is chance. Two in the last turns are a habit.
        """
        pauses = sorted((*self._turns, self._now))[-2:]
        habit = pauses[0] if len(pauses) == 2 else 0.0
        return min(WAIT_AT_MOST_S, MARGIN * habit)
