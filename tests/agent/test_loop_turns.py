"""What is done about an event loop that does not turn, and when: by a clock of the test's own."""

from __future__ import annotations

from itertools import pairwise

import pytest

from piopiy_pipeline.agent.loop_turns import LoopStep, LoopTurns

LOOK_S = 0.1


def look_until(turns: LoopTurns, now: float, until: float, *, turned: bool) -> list[tuple[float, LoopStep]]:
    """Look every `LOOK_S`, and return the steps in which something is to be done, with their times."""
    steps = []
    while now + LOOK_S <= until + 1e-9:
        now += LOOK_S
        step = turns.look(now, turned=turned)
        if step != LoopStep():
            steps.append((round(now, 3), step))
    return steps


def turns(limit_s: float = 3.0) -> LoopTurns:
    return LoopTurns(0.0, look_s=LOOK_S, limit_s=limit_s)


def test_a_loop_that_turns_is_left_alone() -> None:
    assert look_until(turns(), 0.0, 60.0, turned=True) == []


def test_one_that_was_busy_for_a_moment_as_well() -> None:
    loop = turns()
    assert look_until(loop, 0.0, 0.2, turned=False) == []
    assert loop.look(0.3, turned=True) == LoopStep()


def test_a_loop_that_does_not_turn_is_examined_told_of_and_in_the_end_over_its_limit() -> None:
    steps = look_until(turns(), 0.0, 3.5, turned=False)
    told_at = [at for at, step in steps if step.tell]
    assert told_at[:2] == pytest.approx([0.3, 0.4]), "who it may be, and that it is"
    assert all(0.45 < after - before < 0.65 for before, after in pairwise(told_at[1:]))
    assert all(step.examine for _, step in steps if step.tell)
    assert [at for at, step in steps if step.insist] == pytest.approx([1.05], abs=LOOK_S)
    assert [at for at, step in steps if step.limit] == pytest.approx([3.05], abs=LOOK_S)


def test_whoever_was_examined_is_told_of_when_the_loop_turns_again() -> None:
    loop = turns()
    look_until(loop, 0.0, 1.2, turned=False)
    assert loop.look(1.3, turned=True).turned_after_s == pytest.approx(1.3)
    assert look_until(loop, 1.3, 1.5, turned=False) == []
    assert [at for at, step in look_until(loop, 1.5, 1.8, turned=False) if step.examine] == [
        pytest.approx(1.6),
        pytest.approx(1.7),
    ]


def test_who_may_block_it_is_told_by_the_clock_although_it_waits_for_a_processor() -> None:
    loop = turns()
    steps = [(at, loop.look(at * LOOK_S, turned=False, waited_s=0.095)) for at in range(1, 21)]
    assert [at for at, step in steps if step.tell] == [3, 8, 13, 18], "soon enough, and twice a second"
    assert not any(step.examine or step.insist for _, step in steps), "it is not sure"
    assert loop.look(2.1, turned=True) == LoopStep()
    assert loop.look(2.3, turned=False, waited_s=0.2) == LoopStep(), "another turn"


def test_to_have_waited_is_known_late_and_counts_all_the_same() -> None:
    """The kernel counts it when the thread has a processor again."""
    loop = turns()
    for at in range(1, 5):
        loop.look(at * LOOK_S, turned=False)
    assert not loop.look(0.5, turned=False, waited_s=0.45).insist
    assert loop.blocked_s == pytest.approx(0.05)


def test_time_in_which_this_process_did_not_run_does_not_count() -> None:
    loop = turns()
    look_until(loop, 0.0, 0.1, turned=False)
    assert not loop.look(10.2, turned=False).examine, "it was stopped for ten seconds"
    assert loop.blocked_s == pytest.approx(0.2)
    assert loop.look(10.3, turned=False).examine, "and goes on to block"


def test_time_in_which_the_loop_waited_for_a_processor_does_not_count() -> None:
    loop = turns()
    for at in range(1, 101):
        examine = loop.look(at * LOOK_S, turned=False, waited_s=0.09).examine
        assert not examine or loop.blocked_s >= 0.25
    assert loop.blocked_s == pytest.approx(1.0), "ten seconds of the clock, of which it had one"


def test_to_wait_for_a_processor_excuses_nothing_but_that_time() -> None:
    loop = turns()
    assert loop.look(0.1, turned=False, waited_s=5.0) == LoopStep()
    assert loop.blocked_s == 0.0
    assert [at for at, step in look_until(loop, 0.1, 0.6, turned=False) if step.examine] == pytest.approx(
        [0.4, 0.5]
    )
