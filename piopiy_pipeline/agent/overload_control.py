"""`OverloadControl`: which calls a process takes beside those that it has, by what these cost it. No I/O.

A process that takes one call too many harms all that it has, so it refuses new ones before: when its event loop works
for most of its time, or is late. Who is refused rings, and is offered to another instance.

Time in which the loop waited for a processor counts as no time at all: a machine that is busy with other programs
leaves the loop less time, and the share of that which it uses says whether it keeps up. A single long turn does not
count either: that is the watchdog's business (`loop_turns.py`), and no matter of how many calls there are.

What is measured is two seconds old, and calls come at once. So each new call is counted with what a call costs until
it is in the measurement itself. To begin a call costs more than to have it, for a moment: while calls begin, what one
costs is known too high, and what is expected stays within what was measured (`_coming`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from piopiy_pipeline.signaling.instance_messages import Load, TakenCalls

__all__ = ["LOAD_THRESHOLD", "OverloadControl", "ProcessTimes"]

LOAD_THRESHOLD = 0.85
"""The share of its time in which the event loop may work before new calls are refused, by default. From 90% on, timers
are late by many turns: a queue that is used by 85% is 5 to 6 long, one of 95% is 19 (M/M/1)."""


@dataclass(frozen=True, slots=True)
class ProcessTimes:
    """What a process has used from its beginning, in seconds."""

    loop_s: float
    """CPU time of the event loop's thread."""
    waited_s: float
    """How long that thread waited for a processor."""
    process_s: float
    """CPU time of all threads."""


@dataclass(frozen=True, slots=True)
class _Interval:
    """What one measurement found since the one before, in seconds."""

    at: float
    length_s: float
    own_s: float  # without what the loop waited for a processor
    times: ProcessTimes
    late_s: float | None  # None if measurements are too rare to say
    calls: int


class OverloadControl:
    """Judges the load of one process. Every `now` is in seconds of one clock.

    Args:
        threshold: The share of its time in which the loop may work before new calls are refused; None: without limit.
        cores: How many processors the process may use.
    """

    WINDOW_S = 2.0
    """Over so many seconds the busy share is measured: in less, two callers who speak at once would refuse a third."""
    LAG_WINDOW_S = 5.0
    """Over so many seconds lateness is measured: 100 timers, of which the five worst do not count."""
    LATE_S = 0.04
    """A 95th percentile of lateness from which on new calls are refused. An answer takes ten turns of the loop."""
    STEP = 0.1
    """How far below the threshold the share must be before calls are taken again."""
    WELL_S = 1.0
    """And for how long."""
    LEAST_CALLS = 3
    """So few calls are never too many: what makes a loop busy then is no number of calls. Short ones come and go, so
    `WELL_S` counts for this as well.
    """
    GUESS = 0.02
    """What a call is taken to cost before that is known, as a share of a core: ours costs about 0.01."""
    KNOWN_FROM = 0.3
    """A busier process than this knows what one more call costs: alone, it costs three times as much as among many."""
    MANY_CALLS = 10
    """Of so many, a less busy process knows it, too, within a factor of two."""
    SETTLED = 0.1
    """With fewer calls that have begun just now, for each that there is, it knows what it costs to have a call."""
    BEGINS_SHARE = 0.5
    """What calls seem to cost beyond that while many begin makes the loop busier by this part of what it is at most."""
    TURN_S = 0.3
    """A longer turn is not counted: it blocks the loop."""
    SELDOM_S, RARE_S, OFTEN_S = 1.0, 0.25, 0.05

    def __init__(self, threshold: float | None = LOAD_THRESHOLD, *, cores: int = 1) -> None:
        self._threshold = threshold
        self._cores = max(1, cores)
        self._last: tuple[float, ProcessTimes] | None = None
        self._begin = 0.0
        self._intervals: deque[_Interval] = deque()
        self._began: deque[float] = deque(maxlen=1000)  # the calls of the last `WINDOW_S`
        self._per_call = self.GUESS
        self._with_begins = (
            self.GUESS
        )  # what one seems to cost now, with what it takes to begin those that do
        self._full = False
        self._well_since: float | None = None
        self._busy = self._core = self._late_s = self._had = 0.0
        self._calls = 0

    @property
    def period_s(self) -> float:
        """How long to wait until the next measurement, in seconds. A process that has little to do is not woken often
        for it, and how late its timers are says nothing. One with so few calls that nothing hangs on it is woken
        seldom.
        """
        if max(self._busy, self._core) >= self.KNOWN_FROM:
            return self.OFTEN_S
        return self.RARE_S if self._calls >= self.LEAST_CALLS else self.SELDOM_S

    def measure(self, now: float, times: ProcessTimes, late_s: float, calls: int) -> None:
        """Take a measurement, `period_s` after the one before.

        Args:
            now: The time.
            times: What the process has used until now.
            late_s: How late this measurement is, in seconds: how late the loop's timer was.
            calls: How many calls there are.
        """
        last, self._last, self._calls = self._last, (now, times), calls
        if last is None:
            self._begin = now
            return
        length_s = now - last[0]
        waited_s = min(max(0.0, times.waited_s - last[1].waited_s), length_s)
        own_late_s = max(0.0, late_s - waited_s)
        if own_late_s <= self.TURN_S:
            used = ProcessTimes(times.loop_s - last[1].loop_s, waited_s, times.process_s - last[1].process_s)
            often = length_s - late_s < 2 * self.OFTEN_S
            self._intervals.append(
                _Interval(now, length_s, length_s - waited_s, used, own_late_s if often else None, calls)
            )
        while self._intervals and self._intervals[0].at <= now - self.LAG_WINDOW_S:
            self._intervals.popleft()
        self._sum_up(now)
        self._learn(now)
        self._judge(now, calls)

    def call_began(self, now: float) -> None:
        """Note that a call was taken, of which the measurements know nothing yet."""
        self._began.append(now)

    def load(self, now: float, calls: int) -> Load:
        """Return the load as it is now, with which calls are taken.

        Args:
            now: The time.
            calls: How many calls there are, those that have begun just now as well.
        """
        self._judge(now, calls)
        takes = self._takes(now, calls)
        return Load(
            busy=round(self._busy, 3),
            lag_p95_ms=round(self._late_s * 1e3, 1),
            core=round(self._core, 3),
            takes=takes,
            why="" if takes == "all" else self._why(now, calls),
        )

    # ------------------------------------------------------------------ inside

    def _sum_up(self, now: float) -> None:
        recent = [one for one in self._intervals if one.at > now - self.WINDOW_S]
        before_s = max(
            0.0, self.WINDOW_S - (now - self._begin)
        )  # a process that has just begun was idle before
        length_s = before_s + sum(one.length_s for one in recent)
        own_s = before_s + sum(one.own_s for one in recent)
        loop_s = sum(one.times.loop_s for one in recent)
        self._had = sum(one.calls * one.length_s for one in recent) / length_s if length_s > 0 else 0.0
        process_s = sum(one.times.process_s for one in recent)
        if length_s > 0:
            self._core = process_s / length_s
            self._busy = min(1.0, max(loop_s / max(own_s, loop_s, 1e-3), self._core / self._cores))
        late_s = sorted(one.late_s for one in self._intervals if one.late_s is not None)
        enough = len(late_s) >= 0.25 * self.LAG_WINDOW_S / self.OFTEN_S
        self._late_s = late_s[int(0.95 * (len(late_s) - 1))] if enough else 0.0

    def _learn(self, now: float) -> None:
        """Learn what calls cost from a process that is busy enough to know, or has had many for a while."""
        if self._had < 1:
            return
        if self._busy < self.KNOWN_FROM:
            if self._has_had_many(now):
                self._per_call = min(self._per_call, 2 * self._busy / self._had)
            return
        self._with_begins = self._busy / self._had
        began = sum(at > now - self.WINDOW_S for at in self._began)
        settled = began <= self.SETTLED * self._had
        self._per_call = self._with_begins if settled else min(self._per_call, self._with_begins)

    def _has_had_many(self, now: float) -> bool:
        """Return whether there were many calls before those of the last window, who may not have spoken yet."""
        before = [one for one in self._intervals if one.at <= now - self.WINDOW_S]
        length_s = sum(one.length_s for one in before)
        had = sum(one.calls * one.length_s for one in before)
        return length_s >= self.WINDOW_S and had >= self.MANY_CALLS * length_s

    def _expected(self, now: float, calls: int) -> float:
        """Return the busy share with the calls that the measurement does not know yet."""
        return self._busy + self._coming(now, calls)

    def _coming(self, now: float, calls: int) -> float:
        """Return what the calls take of which the measurement does not know all: of one that is half a window old, it
        knows a half. A call that has ended is not to come, and those that have begun last are the last to end.
        """
        began = list(self._began)[-calls:] if calls else []
        unknown = sum(max(0.0, 1 - (now - at) / self.WINDOW_S) for at in began)
        begins = unknown * max(0.0, self._with_begins - self._per_call)
        return unknown * self._per_call + min(begins, self._busy * self.BEGINS_SHARE)

    def _judge(self, now: float, calls: int) -> None:
        while self._began and self._began[0] <= now - self.WINDOW_S:
            self._began.popleft()
        few = calls < self.LEAST_CALLS
        if self._threshold is None or (few and not self._full):
            self._full, self._well_since = False, None
            return
        expected = self._expected(now, calls)
        if not few and (expected >= self._threshold or self._late_s >= self.LATE_S):
            self._full, self._well_since = True, None
        elif few or (expected < self._threshold - self.STEP and self._late_s < self.LATE_S / 2):
            if self._well_since is None:
                self._well_since = now
            if now >= self._well_since + self.WELL_S:
                self._full = False
        else:
            self._well_since = None

    def _takes(self, now: float, calls: int) -> TakenCalls:
        """A call that another instance has lost is in progress, and would end: for those a third of what is left is
        kept free.
        """
        if self._threshold is None or not self._full:
            return "all"
        most = self._threshold + (1 - self._threshold) * 2 / 3
        return "takeovers" if self._expected(now, calls) < most and self._late_s < 2 * self.LATE_S else "none"

    def _why(self, now: float, calls: int) -> str:
        if self._late_s >= self.LATE_S / 2:
            return f"its event loop is late by {self._late_s * 1e3:.0f} ms"
        coming = self._coming(now, calls)
        more = f", and new calls take {coming:.0%} more" if coming >= 0.01 else ""
        return f"it is busy for {self._busy:.0%} of its time{more}"
