"""`IdleCaller`: when a caller who says nothing is asked, and when the call ends. Without I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LEAST_TIMEOUT_S", "IdleCaller", "IdleStep"]

LEAST_TIMEOUT_S = 1.0
"""A shorter timeout would end a call between two sentences, in seconds."""

LEAST_S = 5.0
"""Nobody is asked whom the timeout would leave less time than this to answer, in seconds."""


@dataclass(frozen=True, slots=True)
class IdleStep:
    """What is said now. After the `last` line, which may be empty, the call ends."""

    line: str
    last: bool


class IdleCaller:
    """Spreads the lines over the idle timeout: with two questions and a goodbye, one comes after each third of it.

    Args:
        timeout_s: The call ends when nobody has spoken for this long; None: never.
        lines: The questions, and last the goodbye.
    """

    def __init__(self, timeout_s: float | None, lines: Sequence[str]) -> None:
        self.timeout_s = timeout_s or 0.0
        if lines and self.timeout_s / len(lines) < LEAST_S:
            lines = ()
        self._lines = tuple(lines) or ("",)
        self._asked = 0
        self._caller_spoke_at = float("-inf")

    def reword(self, lines: Sequence[str]) -> None:
        """Say these in place of as many others."""
        if len(lines) == len(self._lines):
            self._lines = tuple(lines)

    def check(self, quiet_s: float, *, caller_spoke_at: float, busy: bool) -> IdleStep | None:
        """Decide what is said now.

        Args:
            quiet_s: For how long nobody has been heard, the lines included.
            caller_spoke_at: When the caller was last heard.
            busy: Whether an answer or a tool is under way. Nobody is asked then, but the call may end.
        """
        if caller_spoke_at > self._caller_spoke_at:
            self._asked, self._caller_spoke_at = 0, caller_spoke_at
        if not self.timeout_s or self._asked >= len(self._lines):
            return None
        due_s = self.timeout_s if busy else self.timeout_s / len(self._lines)
        if quiet_s < due_s:
            return None
        self._asked = len(self._lines) if busy else self._asked + 1
        line = "" if busy else self._lines[self._asked - 1]
        return IdleStep(line, last=self._asked == len(self._lines))
