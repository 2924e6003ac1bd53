"""`SlowTurns`: whether an event loop turns too slowly for its calls, and whose code it runs meanwhile. No I/O.

A turn of 0.15 s is no blocked loop. But a frame of a call takes ten turns from the caller's ear to the bot's voice, so
that all calls of a process are deaf if every turn is as long: ten thousand tasks of one call do that, or a handler
that computes for 0.2 s again and again. What the loop runs is looked at in each slow turn. If it is the code of one
call nearly always, that call is to blame; calls that are too many for one processor are not.
"""

from __future__ import annotations

from collections import Counter, deque

from piopiy_pipeline.agent.blocked_code import BlockedCode

__all__ = ["SlowTurns"]


class SlowTurns:
    """Follows the turns of one loop. Every `now` is in seconds of one clock."""

    SLOW_S = 0.12
    """A turn that takes longer is slow, in seconds, if it has not ended at two looks in a row: at the first of them the
    watchdog asks the loop to turn, and it looks twice as often from then on."""
    WINDOW_S = 3.0
    MOST_S = 2.0
    """So much of the window may slow turns take."""
    LEAST_TURNS = 3
    """A single turn is no slow loop, however long it is: that is a blocked one."""
    WELL_LOOKS = 12
    """After so many looks without a slow turn, the loop turns well again. A look may come late, when the gateway is
    told."""
    LOOKS = 4
    """So many looks at what the loop runs have to name the call."""
    SHARE = 0.8
    """So many of those that found something."""

    def __init__(self) -> None:
        self._slow: deque[tuple[float, float]] = deque()  # when a turn ended, and how long it was
        self._looks: deque[tuple[float, BlockedCode]] = deque()
        self._well_looks = self.missed = 0
        """At how many looks in a row the loop had not turned."""
        self.since: float | None = None
        """When slow turns began, if they are too many now."""

    def look(self, now: float, turn_s: float, *, turned: bool, code: BlockedCode | None = None) -> None:
        """Take a look.

        Args:
            now: The time.
            turn_s: How long the turn has taken, without time in which the loop waited for a processor.
            turned: Whether it has ended.
            code: What the loop runs, if that was looked at, and if it runs something.
        """
        missed, self.missed = self.missed, 0 if turned else self.missed + 1
        slow = turn_s > self.SLOW_S and max(missed, self.missed) >= 2
        if code is not None:
            self._looks.append((now, code))
        if slow and turned:
            self._slow.append((now, turn_s))
        begin = now - self.WINDOW_S
        while self._slow and self._slow[0][0] <= begin:
            self._slow.popleft()
        while self._looks and self._looks[0][0] <= begin:
            self._looks.popleft()
        open_s = turn_s if slow and not turned else 0.0
        self._well_looks = 0 if slow else self._well_looks + 1
        if self.since is not None:
            if self._well_looks > self.WELL_LOOKS:
                self.since = None
        elif len(self._slow) + bool(open_s) >= self.LEAST_TURNS:
            slow_s = open_s + sum(min(each_s, at - begin) for at, each_s in self._slow)
            if slow_s > self.MOST_S:
                at, first_s = self._slow[0]
                self.since = at - first_s

    def culprit(self) -> BlockedCode | None:
        """Return the code that the loop runs nearly always when it is slow, if it is of one call."""
        codes = [code for _, code in self._looks]
        if len(codes) < self.LOOKS:
            return None
        call_id, looks = Counter(code.call_id for code in codes).most_common(1)[0]
        if call_id is None or looks < self.SHARE * len(codes):
            return None
        own = [code for code in codes if code.call_id == call_id]
        place = Counter(code.place for code in own).most_common(1)[0][0]
        return next(code for code in own if code.place == place)
