"""How many answers may be begun ahead. Without I/O; times are seconds of one clock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from piopiy_pipeline.arguments import check_count, check_kind, shown

__all__ = ["EagerBudget", "EagerLimits"]

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EagerLimits:
    """The bounds of what may be wasted on answers that are begun ahead.

    Raises:
        ValueError: A number is out of range.
        TypeError: A value is of the wrong kind.
    """

    per_turn: int = 2
    """So many for each turn of the caller."""
    per_minute: int = 12
    """So many a minute."""
    wasted_share: float = 0.3
    """So many answers may have been begun for nothing for each turn of the caller, and one more."""

    def __post_init__(self) -> None:
        check_count("EagerLimits: per_turn", self.per_turn)
        check_count("EagerLimits: per_minute", self.per_minute)
        check_kind("EagerLimits: wasted_share", self.wasted_share, (int, float), "a share from 0 to 1")
        if not 0 <= self.wasted_share <= 1:
            raise ValueError(
                f"EagerLimits: wasted_share must be a share from 0 to 1, not {shown(self.wasted_share)}"
            )


class EagerBudget:
    """Counts the answers that one call has begun ahead."""

    def __init__(self, limits: EagerLimits | None = None) -> None:
        self._limits = limits or EagerLimits()
        self._minute: deque[float] = deque()
        self.turns = 0
        """Turns of the caller."""
        self.begun = 0
        """Answers that were begun ahead."""
        self.used = 0
        """Answers of these that were said."""
        self.wasted = 0
        """Answers of these that were dropped."""
        self.begun_in_turn = 0
        """Answers that were begun ahead in this turn."""
        self._not_told = 0

    def turn_begins(self) -> None:
        """Note that a turn of the caller begins."""
        self.turns += 1
        self.begun_in_turn = 0

    def may_begin(self, now: float) -> bool:
        """Return whether another answer may be begun ahead."""
        while self._minute and now - self._minute[0] >= MINUTE_S:
            self._minute.popleft()
        limits = self._limits
        return (
            self.begun_in_turn < limits.per_turn
            and len(self._minute) < limits.per_minute
            and self.wasted < 1 + limits.wasted_share * self.turns
        )

    def begin(self, now: float) -> None:
        """Note that an answer is begun."""
        self._minute.append(now)
        self.begun += 1
        self.begun_in_turn += 1
        self._not_told += 1

    def take_begun(self) -> int:
        """Return how many answers were begun since this was asked last: those of one turn, asked at its end."""
        begun, self._not_told = self._not_told, 0
        return begun

    def settle(self, *, used: bool) -> None:
        """Note what became of the answer."""
        if used:
            self.used += 1
        else:
            self.wasted += 1
