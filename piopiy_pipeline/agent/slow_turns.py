"""`SlowTurns`: whether an event loop turns too slowly for its calls, and whose code it runs meanwhile. No I/O.

A turn of 0.15 s is no blocked loop. But a frame of a call takes ten turns from the caller's ear to the bot's voice, so
that all calls of a process are deaf if every turn is as long: a handler that computes for 0.2 s again and again does
that. Ten thousand tasks of one call need no such turn: if the loop has no rest, 20 ms in each turn are a fifth of a
second on the way of a frame, and those are measured (`LoopWork`). What the loop runs is looked at meanwhile. If it is
the code of one call nearly always, that call is to blame; calls that are too many for one processor are not.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

from piopiy_pipeline.agent.blocked_code import UNKNOWN, BlockedCode

__all__ = ["SlowTurns"]


class SlowTurns:
    """Follows the turns of one loop. Every `now` is in seconds of one clock."""

    SLOW_S = 0.12
    """A turn that takes longer is slow, in seconds, if it has not ended at two looks in a row: at the first of them the
    watchdog asks the loop to turn, and it looks twice as often from then on."""
    WORK_S = 0.02
    """One that computes longer is slow, in seconds of CPU time, while the loop has no rest."""
    WINDOW_S = 3.0
    MOST_S = 2.0
    """So much of the window may slow turns take. Of those that are measured, the same part of what remains of the
    window without the time in which the loop has waited for a processor."""
    LEAST_WORK_S = 1.0
    """So much CPU time they have to take, however little remains: where an agent gets less than half a processor, its
    calls' ordinary work takes all of that."""
    LEAST_TURNS = 3
    """A single turn is no slow loop, however long it is: that is a blocked one."""
    WELL_LOOKS = 12
    """After so many looks without a slow turn, the loop turns well again. A look may come late, when the gateway is
    told."""
    LOOKS = 4
    """So many looks at what the loop runs have to name the call."""
    SHARE = 0.8
    """So many of those that found code of a call."""
    SHARE_OF_ALL = 0.5
    """And so many of all: uvloop does not tell whose timers it runs."""

    def __init__(self) -> None:
        self._slow: deque[tuple[float, float]] = deque()  # when a turn ended, and how long it was
        self._work: deque[tuple[float, float, float]] = (
            deque()
        )  # each look: slow turns' CPU time, and waiting
        self._looks: deque[tuple[float, BlockedCode]] = deque()
        self._well_looks = self.missed = 0
        """At how many looks in a row the loop had not turned."""
        self.since: float | None = None
        """When slow turns began, if they are too many now."""

    def look(
        self,
        now: float,
        turn_s: float,
        *,
        turned: bool,
        code: BlockedCode | None = None,
        work: Sequence[float] = (),
        waited_s: float = 0.0,
    ) -> None:
        """Take a look.

        Args:
            now: The time.
            turn_s: How long the turn has taken, without time in which the loop waited for a processor.
            turned: Whether it has ended.
            code: What the loop runs, if that was looked at, and if it runs something.
            work: The CPU times of the turns that have ended since the last look, if they were measured, in seconds.
            waited_s: How long the loop's thread has waited for a processor since the last look, in seconds.
        """
        missed, self.missed = self.missed, 0 if turned else self.missed + 1
        slow = turn_s > self.SLOW_S and max(missed, self.missed) >= 2
        slow_work_s = sum(each_s for each_s in work if each_s > self.WORK_S)
        if code is not None:
            self._looks.append((now, code))
        if slow and turned:
            self._slow.append((now, turn_s))
        self._work.append((now, slow_work_s, waited_s))
        begin = now - self.WINDOW_S
        for kept in (self._slow, self._looks, self._work):
            while kept and kept[0][0] <= begin:
                kept.popleft()
        self._well_looks = 0 if slow or slow_work_s else self._well_looks + 1
        if self.since is None:
            self.since = self._slow_since(begin, turn_s if slow and not turned else 0.0)
        elif self._well_looks > self.WELL_LOOKS:
            self.since = None

    def _slow_since(self, begin: float, open_s: float) -> float | None:
        """Return since when turns are slow, if they are too many between `begin` and now."""
        if len(self._slow) + bool(open_s) >= self.LEAST_TURNS:
            slow_s = open_s + sum(min(each_s, at - begin) for at, each_s in self._slow)
            if slow_s > self.MOST_S:
                at, first_s = self._slow[0]
                return at - first_s
        work_s = sum(each_s for _, each_s, _ in self._work)
        had_s = self.WINDOW_S - sum(waited_s for _, _, waited_s in self._work)
        if work_s > max(self.LEAST_WORK_S, had_s * self.MOST_S / self.WINDOW_S):
            return next(at for at, each_s, _ in self._work if each_s)
        return None

    def culprit(self) -> BlockedCode | None:
        """Return the code that the loop runs nearly always when it is slow, if it is of one call."""
        codes = [code for _, code in self._looks]
        if len(codes) < self.LOOKS:
            return None
        call_id, looks = Counter(code.call_id for code in codes).most_common(1)[0]
        of_calls = sum(code.call_id is not None for code in codes)
        if call_id is None or looks < max(self.SHARE * of_calls, self.SHARE_OF_ALL * len(codes)):
            return None
        own = [code for code in codes if code.call_id == call_id]
        places = Counter(code.place for code in own)
        place = next((each for each, _ in places.most_common() if each != UNKNOWN), UNKNOWN)
        return next(code for code in own if code.place == place)
