"""Whether a loop turns too slowly, and because of whom: by a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable

import pytest

from piopiy_pipeline.agent.blocked_code import UNKNOWN, BlockedCode
from piopiy_pipeline.agent.loop_turns import LoopTurns
from piopiy_pipeline.agent.slow_turns import SlowTurns

LOOK_S = 0.1
MINE = BlockedCode("call-1", "bot.py:71 in nop")
OTHER = BlockedCode("call-2", "bot.py:12 in reply")


class Watched:
    """A loop whose turns take these seconds each, looked at as the watchdog does.

    Args:
        turns_s: How long each turn takes.
        code: What a look at the nth slow turn finds.
        waits: The part of the time in which the loop's thread waits for a processor.
        measured: Whether it has no rest, so that its turns are measured and it is looked into at each look.
    """

    def __init__(
        self,
        turns_s: Iterable[float],
        code: Callable[[int], BlockedCode | None] = lambda _: MINE,
        waits: float = 0.0,
        measured: bool = False,
    ) -> None:
        self.slow = SlowTurns()
        self._ends = itertools.accumulate(turns_s)
        self._end = next(self._ends)
        self._turns = LoopTurns(0.0, look_s=LOOK_S, limit_s=10)
        self._code = code
        self._waits = waits
        self._measured = measured
        self._last_end = 0.0
        self._looked = self._close = 0
        self.now = 0.0

    def run(self, until: float) -> list[float]:
        """Return the times at which the loop was found to be slow, one call's code being the cause."""
        found = []
        while self.now < until:
            look_s = LOOK_S / 2 if self._close > 0 else LOOK_S
            self.now = round(self.now + look_s, 6)
            turned = self._end <= self.now
            self._close = self._close - 1 if turned else 20
            work = []
            while self._end <= self.now:
                work += [(self._end - self._last_end) * (1 - self._waits)] * self._measured
                self._last_end, self._end = self._end, next(self._ends)
            waited_s = self._waits * look_s
            self._turns.look(self.now, turned=turned, waited_s=waited_s)
            code = None
            if self._measured or (not turned and self.slow.missed):
                code = self._code(self._looked)
                self._looked += 1
            self.slow.look(
                self.now, self._turns.turn_s, turned=turned, code=code, work=work, waited_s=waited_s
            )
            if self.slow.since is not None and self.slow.culprit() is not None:
                found.append(self.now)
        return found


@pytest.mark.parametrize("turn_s", [0.15, 0.2, 0.27, 0.33, 0.4, 0.9, 1.5])
def test_a_loop_whose_turns_are_all_slow_is_found_with_the_call_that_is_to_blame(turn_s: float) -> None:
    watched = Watched(itertools.repeat(turn_s))
    found = watched.run(8.0)
    assert found[0] < 5.0
    assert found[-1] == pytest.approx(8.0)
    assert watched.slow.culprit() == MINE
    assert watched.slow.since is not None
    assert watched.slow.since < 1.0


@pytest.mark.parametrize("turn_s", [0.02, 0.05, 0.09])
def test_a_busy_loop_is_none(turn_s: float) -> None:
    assert Watched(itertools.repeat(turn_s)).run(30.0) == []


@pytest.mark.parametrize("turn_s", [0.027, 0.05, 0.094, 0.11, 0.3])
def test_short_turns_without_a_rest_are_found_too(turn_s: float) -> None:
    watched = Watched(itertools.repeat(turn_s), measured=True)
    found = watched.run(8.0)
    assert found[0] < 3.0
    assert found[-1] == pytest.approx(8.0)
    assert watched.slow.since is not None
    assert watched.slow.since < 1.0


def test_short_turns_are_found_where_others_have_half_of_the_processor() -> None:
    assert Watched(itertools.repeat(0.1), waits=0.5, measured=True).run(8.0)


@pytest.mark.parametrize("turn_s", [0.001, 0.008, 0.019])
def test_turns_that_hold_nobody_up_are_no_harm_even_without_a_rest(turn_s: float) -> None:
    assert Watched(itertools.repeat(turn_s), measured=True).run(30.0) == []


def test_short_turns_are_over_when_they_end_and_a_second_of_them_is_none() -> None:
    turns = itertools.chain([0.05] * 80, itertools.repeat(0.01))
    assert Watched(turns, measured=True).run(20.0)[-1] <= 4.0 + (SlowTurns.WELL_LOOKS + 2) * LOOK_S
    assert Watched(itertools.chain([0.05] * 30, itertools.repeat(0.01)), measured=True).run(20.0) == []


def test_short_turns_of_many_calls_have_no_culprit() -> None:
    codes = (MINE, OTHER, MINE)
    assert Watched(itertools.repeat(0.05), lambda at: codes[at % 3], measured=True).run(10.0) == []


def test_an_agent_that_hardly_gets_a_processor_is_not_judged() -> None:
    """A tenth of it: what a call computes when it begins takes all that there is, for seconds."""
    assert Watched(itertools.repeat(0.3), waits=0.9, measured=True).run(30.0) == []


def test_one_that_is_slow_for_a_moment_or_blocked_once_is_none() -> None:
    assert Watched(itertools.chain([0.3] * 4, itertools.repeat(0.02))).run(20.0) == []
    assert Watched(itertools.chain([8.0], itertools.repeat(0.02))).run(20.0) == []
    assert Watched(itertools.chain([1.2, 1.2], itertools.repeat(0.02))).run(20.0) == []


def test_it_is_over_soon_after_the_last_slow_turn() -> None:
    watched = Watched(itertools.chain([0.3] * 20, itertools.repeat(0.02)))
    assert watched.run(20.0)[-1] <= 6.0 + (SlowTurns.WELL_LOOKS + 2) * LOOK_S


def test_many_calls_that_are_too_many_have_no_culprit() -> None:
    watched = Watched(itertools.repeat(0.3), lambda at: (MINE, OTHER, None)[at % 3])
    assert watched.run(10.0) == []
    assert watched.slow.since is not None


def test_code_of_no_call_is_no_culprit() -> None:
    assert Watched(itertools.repeat(0.3), lambda _: BlockedCode(None, "lib.py:1 in run")).run(10.0) == []


def test_timers_of_a_loop_that_does_not_tell_whose_they_are_hide_no_culprit() -> None:
    nobodys = BlockedCode(None, "asyncio/futures.py:315 in _set_result_unless_cancelled")
    watched = Watched(itertools.repeat(0.05), lambda at: (MINE, MINE, nobodys)[at % 3], measured=True)
    assert watched.run(10.0)
    assert (
        Watched(itertools.repeat(0.05), lambda at: (MINE, nobodys, nobodys)[at % 3], measured=True).run(10.0)
        == []
    )


def test_the_place_is_one_that_says_something_if_any_does() -> None:
    loops_own = BlockedCode("call-1", UNKNOWN)
    watched = Watched(itertools.repeat(0.3), lambda at: (loops_own, loops_own, MINE)[at % 3])
    assert watched.run(10.0)
    assert watched.slow.culprit() == MINE


def test_a_few_looks_at_others_and_into_nothing_change_nothing() -> None:
    watched = Watched(itertools.repeat(0.3), lambda at: (MINE, MINE, None, MINE, MINE, OTHER)[at % 6])
    assert watched.run(10.0)


def test_a_machine_that_is_busy_with_others_is_no_slow_loop() -> None:
    assert Watched(itertools.repeat(0.8), waits=0.8).run(30.0) == []
