"""Call workers that say nothing any more."""

from __future__ import annotations

import socket

from piopiy_pipeline.agent.hang_watch import HUNG_S, TURN_S, HangWatch
from piopiy_pipeline.agent.worker_member import WorkerMember


def member(number: int, now: float) -> WorkerMember:
    with socket.socket() as control:
        return WorkerMember(number, f"desk-w{number}", 0, control, now, list, ready_s=0.1)


def watch(seconds: float, turns: dict[int, list[float]], steps: list[float] | None = None) -> list[int]:
    """Look at two call workers for some time, and return the numbers of those that were found hung."""
    hung: list[int] = []
    watching = HangWatch(lambda found, _: hung.append(found.number))
    begin = watching._looked_at
    members = {number: member(number, begin) for number in turns}
    for each in members.values():
        each.turned_at = begin
    for at in steps or [step * TURN_S for step in range(1, int(seconds / TURN_S) + 1)]:
        for number, turned in turns.items():
            latest = begin + max([0.0, *(each for each in turned if each <= at)])
            members[number].turned_at = max(members[number].turned_at, latest)
        watching.look(members, begin + at)
        for number in set(hung):
            members[number].killed_for = "it hung"
    return hung


def test_one_that_is_silent_is_found_once_and_one_that_turns_is_not() -> None:
    turns = [each * TURN_S for each in range(100)]
    assert watch(HUNG_S + 10, {1: turns, 2: turns[:3]}) == [2]
    assert watch(HUNG_S - TURN_S, {1: turns, 2: []}) == []


def test_after_the_supervisor_itself_has_hung_nobody_is_blamed_at_once() -> None:
    assert watch(0, {1: [], 2: []}, steps=[2.0, 100.0, 102.0, 104.0]) == []
