"""`SuspectLosses`: whether a call that loses one instance after another is likely to be the cause. No I/O.

What is proven of call workers is `Suspicion`'s. Here nothing is proven: connections close and instances fall silent.
Each call that was there is a suspect, one that was there alone most of all; and what speaks for it is counted as well:

    another call is known to have blocked the instance      the loss counts for nobody else
    the instance registers again                            it had not died: the network was gone
    an instance is lost in which the call was not           something else does that
    the call was well for a while since its last loss       it does not do that all the time

If two instances are lost one soon after the other, and few calls of the second were in the first as well, it is likely
that one of these did it. They are offered to nobody, unless something speaks for them while they wait, and so the
others go on without them.
"""

from __future__ import annotations

__all__ = ["SuspectLosses"]

_ALONE, _AMONG_OTHERS = 2, 1


class SuspectLosses:
    """The losses of one call. Every `now` is in seconds of one clock."""

    MOST_ALONE = 3
    """A call that has lost so many instances in a row in which it was alone is more likely their cause than their
    victim. Of those in which others were as well it takes twice as many: most of these are victims."""
    MOST = 20
    """After so many losses a call is lost with the next one, whoever is to blame."""
    WELL_S = 120.0
    """After so many seconds without a loss those before do not count any more."""
    SOON_S = 20.0
    """What ends the processes that it is in ends the second one at the same step of the conversation. Operators who
    restart one instance after another wait longer in between."""

    def __init__(self) -> None:
        self.count = 0
        """How many instances were lost with the call, whoever was to blame."""
        self.in_two = False
        """Whether this call was in two instances that were lost one soon after the other, and most others of the second
        were not in the first."""
        self._row: dict[str, int] = {}  # by instance, what its loss counts
        self._closed: tuple[str, float] | None = None  # the instance that was lost last, and when
        self._last_at = 0.0

    def may_follow(self, instance_id: str, now: float, *, alone: bool | None) -> bool:
        """Return whether the call may go on after one more loss, and count it.

        Args:
            instance_id: The instance that is lost.
            now: The time.
            alone: Whether the call was the only one there; None if it is known that it is not to blame.
        """
        if self.count >= self.MOST:
            return False
        if now - self._last_at > self.WELL_S:
            self._row.clear()
        if alone is not None and sum(self._row.values()) >= _ALONE * self.MOST_ALONE:
            return False
        self.count += 1
        if alone is not None:
            self._last_at = now
            self._row[instance_id] = _ALONE if alone else _AMONG_OTHERS
        return True

    def lost_lately(self, now: float) -> bool:
        """Return whether an instance was lost with the call a short while ago, and has not come back."""
        return self._closed is not None and now - self._closed[1] <= self.SOON_S

    def closed(self, instance_id: str, now: float, *, in_two: bool) -> None:
        """Note that the connection of an instance has closed that had the call.

        Args:
            instance_id: The instance.
            now: The time.
            in_two: Whether the call is one of the few that were in the one lost before, too.
        """
        self.in_two = in_two
        self._closed = instance_id, now

    def lost_elsewhere(self) -> None:
        """Note that an instance of the same agent is lost in which the call was not."""
        self._row.clear()
        self.in_two, self._closed = False, None

    def came_back(self, instance_id: str) -> None:
        """Note that an instance has registered again, which had not died."""
        if self._row.pop(instance_id, None) is not None:
            self.in_two = False
        if self._closed is not None and self._closed[0] == instance_id:
            self._closed = None
