"""`SoundLead`: how much sound one stage has pushed that nobody can have heard yet. Without I/O.

What is pushed waits in the queue of the output, which has no bound, and is heard in real time at best: so the lead
of a stage grows by what it makes beside what it was given, and shrinks by a second each second.
"""

from __future__ import annotations

__all__ = ["SoundLead"]


class SoundLead:
    """Follows the sound that one stage pushes towards the caller. `now` is in seconds of one clock.

    Args:
        longest_s: How far the stage may be ahead, in seconds; twice as far after a long silence, because the time is
            counted only when this was used up.
        now: When it begins.
    """

    __slots__ = ("_at", "_longest_s", "left_s")

    def __init__(self, longest_s: float, now: float) -> None:
        self._longest_s = longest_s
        self._at = now
        self.left_s = longest_s
        """So much more it may push now, as far as that was counted: `wait_s` counts anew."""

    def given(self, seconds: float) -> None:
        """Note that the stage was given sound, which it may pass on."""
        self.left_s = min(self._longest_s, self.left_s + seconds)

    def begin_anew(self) -> None:
        """Forget what was pushed: an interruption has thrown it away."""
        self.left_s = self._longest_s

    def wait_s(self, now: float) -> float:
        """Return for how many seconds the stage is to wait before it pushes more."""
        self.left_s = min(self._longest_s, self.left_s + now - self._at)
        self._at = now
        return max(0.0, -self.left_s)
