"""Call workers that say nothing any more: by a clock of the test's own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

import pytest

from piopiy_pipeline.agent.hang_watch import HANGS_S, HUNG_S, RUNS_S, TURN_S, HangWatch, ProcessLook
from piopiy_pipeline.agent.worker_member import WorkerMember
from piopiy_pipeline.services.workers import worker_pipe
from piopiy_pipeline.services.workers.worker_pipe import LOOK_S

LONG = 1e6
Says = Callable[[float], bool]


def member(number: int, now: float) -> WorkerMember:
    with socket.socket() as control:
        return WorkerMember(number, f"desk-w{number}", 0, control, now, list, ready_s=0.1)


def until(end: float) -> Says:
    """Return that something is said until then."""
    return lambda at: at <= end


class Watched:
    """One call worker with a call, and what is found of it.

    Args:
        turns: Says at which seconds its loop turns.
        runs: Says at which seconds its watchdog runs.
        stopped: Says at which seconds it is stopped.
        waits: The part of the time in which its thread waits for a processor; it runs for the rest.
        threads: The part of the time in which each of its threads runs, and waits.
        limit_s: The author's limit.
    """

    def __init__(
        self,
        turns: Says,
        runs: Says,
        *,
        stopped: Says = lambda _: False,
        waits: float = 0.0,
        threads: Sequence[tuple[float, float]] = (),
        limit_s: float = HUNG_S,
        calls: int = 1,
    ) -> None:
        self.hung: list[float] = []
        self.hangs: list[float] = []
        shares = [(1 - waits, waits), *threads]
        look = ProcessLook(
            lambda _: stopped(self.at),
            lambda _: {n: (ran * self.at, waited * self.at) for n, (ran, waited) in enumerate(shares)},
        )
        self.watch = HangWatch(self._on_hung, self._on_hangs, limit_s=limit_s, processes=look)
        self.begin, self.at = self.watch._looked_at, 0.0
        self.member = member(1, self.begin)
        self.member.turned_at = self.begin
        self.member.calls = [f"call-{number}" for number in range(calls)]
        self.turns, self.runs = turns, runs

    def _on_hung(self, member: WorkerMember, _: float) -> None:
        self.hung.append(self.at)
        member.killed_for = "it hung"

    def _on_hangs(self, _: WorkerMember, silent_s: float) -> None:
        self.hangs.append(round(silent_s, 3))

    def see(self, seconds: float, steps: list[float] | None = None) -> Watched:
        looks = [step * LOOK_S for step in range(1, int(seconds / LOOK_S) + 1)]
        for self.at in steps or looks:
            if self.turns(self.at) and self.at % TURN_S == 0:
                self.member.turned_at = self.begin + self.at
            if self.runs(self.at) and self.at % RUNS_S == 0:
                self.member.ran_at = self.begin + self.at
            self.watch.look({1: self.member}, self.begin + self.at)
        return self


def test_one_whose_loop_does_not_turn_is_found_once_and_one_that_turns_is_not() -> None:
    assert Watched(until(LONG), until(LONG)).see(HUNG_S + 10).hung == []
    [at] = Watched(until(4), until(LONG)).see(HUNG_S + 10).hung
    assert HUNG_S <= at - 4 <= HUNG_S + 2 * LOOK_S
    assert Watched(until(0), until(LONG)).see(HUNG_S - TURN_S).hung == []


def test_after_the_supervisor_itself_has_hung_nobody_is_blamed_at_once() -> None:
    watched = Watched(until(-1), until(-1)).see(0, steps=[0.5, 100.0, 100.5, 101.0, 101.5])
    assert watched.hung == []
    assert watched.hangs == []


def test_one_of_which_nothing_runs_hangs_and_is_told_of_once() -> None:
    watched = Watched(until(4), until(5)).see(20)
    assert watched.hangs == [HANGS_S]
    assert watched.hung == []


def test_one_whose_watchdog_runs_does_not_hang_whatever_its_loop_does() -> None:
    assert Watched(until(4), until(LONG)).see(20).hangs == []


def test_one_that_runs_again_and_hangs_again_is_told_of_again() -> None:
    watched = Watched(until(4), lambda at: at <= 4 or 10 <= at <= 12).see(20)
    assert watched.hangs == [HANGS_S, HANGS_S]


def test_one_without_calls_says_nothing_and_does_not_hang() -> None:
    assert Watched(until(LONG), until(-1), calls=0).see(20).hangs == []


def test_one_that_is_stopped_does_not_hang_nor_when_it_goes_on() -> None:
    watched = Watched(until(4), lambda at: at <= 4 or at > 10.5, stopped=lambda at: 4 < at <= 10).see(20)
    assert watched.hangs == []


@pytest.mark.parametrize("waits", [0.9, 1.0])
def test_one_that_waits_for_a_processor_does_not_hang(waits: float) -> None:
    assert Watched(until(4), until(4), waits=waits).see(20).hangs == []


def test_one_that_hangs_is_killed_at_the_author_s_limit() -> None:
    [at] = Watched(until(4), until(4), limit_s=10).see(40).hung
    assert 10 <= at - 4 <= 10 + 2 * LOOK_S


def test_threads_that_look_for_the_lock_on_a_busy_machine_are_no_excuse() -> None:
    looks_for_the_lock = [(0.02, 0.35)] * 8
    watched = Watched(until(4), until(4), threads=looks_for_the_lock).see(20)
    assert watched.hangs == [HANGS_S]


def test_one_that_hangs_is_told_of_once_however_late_the_supervisor_looks() -> None:
    watched = Watched(until(4), until(4), limit_s=1000)
    watched.see(
        0, steps=[*(step * LOOK_S for step in range(1, 16)), *(8.0 + 1.7 * step for step in range(20))]
    )
    assert watched.hangs == [HANGS_S]


def test_one_that_computes_under_the_lock_hangs_on_a_busy_machine_as_well() -> None:
    [silent_s] = Watched(until(4), until(4), waits=0.5).see(20).hangs
    assert 2 * HANGS_S <= silent_s <= 2 * HANGS_S + 1 + 2 * LOOK_S


@pytest.mark.parametrize(
    ("runs", "state", "found"),
    [
        (until(10), "S", [13.0]),
        (until(10), "T", [13.0]),
        (until(10), "R", []),
        (until(LONG), "S", []),
    ],
    ids=["it_waits", "it_is_stopped", "it_waits_for_a_processor", "it_says_that_it_turns"],
)
def test_the_process_with_the_models_is_found_as_soon_as_one_of_its_workers(
    runs: Says, state: str, found: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pipe, "process_state", lambda pid: (state, 1.0))
    watched = Watched(lambda _: False, runs, calls=0)
    watched.member.has_models, watched.member.pid = True, 4711
    assert watched.see(25).hung == found


def test_the_process_with_the_models_that_computes_and_says_nothing_is_found_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(worker_pipe, "process_state", lambda pid: ("R", 1.0))
    watched = Watched(until(10), until(10), calls=0)
    watched.member.has_models, watched.member.pid = True, 4711
    [at] = watched.see(HUNG_S + 20).hung
    assert HUNG_S <= at - 10 <= HUNG_S + 2 * LOOK_S
