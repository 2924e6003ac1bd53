"""What is to be done about an event loop that does not turn, and when. No I/O: every `now` is in seconds of one clock.

0.25 s   by the clock: the gateway is told who may block it, and again every half second: it is to know the culprit
         before the missing heartbeats, which it counts by the clock as well, make it move every call, the culprit's too
0.25 s   who blocks it is looked at and named
0.4 s    the gateway is told that it is sure
1 s      it is an error
limit    the author's limit for one call

From the second line on, time in which the loop's thread waited for a processor does not count: others kept it waiting,
and not what it runs. A suspicion that comes too late would be of no use, and one that is wrong does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoopStep", "LoopTurns"]


@dataclass(frozen=True, slots=True)
class LoopStep:
    """What is to be done after a look at the loop."""

    examine: bool = False
    """Look at the stack, and name what blocks."""
    tell: bool = False
    """Tell the gateway what blocks it; without `examine`, what may."""
    insist: bool = False
    """Log it as an error."""
    limit: bool = False
    """The limit has passed."""
    turned_after_s: float | None = None
    """It turns again, after so many seconds, and what it ran was looked at."""


_NOTHING = LoopStep()


class LoopTurns:
    """Judges how long a loop has not turned.

    Args:
        now: The time.
        look_s: How often it is looked at, in seconds.
        limit_s: How long code of one call may block it, in seconds.
    """

    SUSPECT_S = 0.25
    EXAMINE_S = 0.25
    TELL_S = 0.4
    TELL_AGAIN_S = 0.5
    INSIST_S = 1.0
    LATE_S = 0.1
    """A look that comes so many seconds too late: this process did not run at all, and nobody blocks the loop."""

    def __init__(self, now: float, *, look_s: float, limit_s: float) -> None:
        self._look_s = look_s
        self._limit_s = limit_s
        self._looked_at = now
        self._asked_at = now
        self._tell_at = self.TELL_S
        self._tell_again_at = now + self.SUSPECT_S  # by the clock
        self._examined = self._insisted = self._limited = False
        self.turn_s = 0.0
        """How long the turn had taken at the last look, also if it has ended with it, in seconds."""

    @property
    def blocked_s(self) -> float:
        """For how long it had not turned at the last look, in seconds."""
        return self._looked_at - self._asked_at

    def look(self, now: float, *, turned: bool, waited_s: float = 0.0) -> LoopStep:
        """Take a look.

        Args:
            now: The time.
            turned: Whether the loop has turned since the last look. It is asked to do so after each look at which it
                had.
            waited_s: How long the loop's thread has waited for a processor since the last look, in seconds.
        """
        since_s = now - self._looked_at
        late_s = since_s - self._look_s
        waited_s = min(
            waited_s, now - self._asked_at
        )  # what has begun before the last look is known only now
        self._asked_at += max(late_s if late_s > self.LATE_S else 0.0, waited_s)
        self._looked_at = now
        blocked_s = self.turn_s = self.blocked_s
        if turned:
            examined = self._examined
            self._begin(now)
            return LoopStep(turned_after_s=blocked_s) if examined else _NOTHING
        tell = blocked_s >= self._tell_at or now >= self._tell_again_at
        if tell:
            self._tell_again_at = now + self.TELL_AGAIN_S
        if blocked_s >= self._tell_at:
            self._tell_at = blocked_s + self.TELL_AGAIN_S
        if blocked_s < self.EXAMINE_S:
            return LoopStep(tell=tell)
        examine, self._examined = not self._examined, True
        insist = blocked_s >= self.INSIST_S and not self._insisted
        self._insisted = self._insisted or insist
        limit = blocked_s >= self._limit_s and not self._limited
        self._limited = self._limited or limit
        return LoopStep(examine=examine or tell, tell=tell, insist=insist, limit=limit)

    def _begin(self, now: float) -> None:
        self._asked_at = now
        self._tell_at = self.TELL_S
        self._tell_again_at = now + self.SUSPECT_S
        self._examined = self._insisted = self._limited = False
