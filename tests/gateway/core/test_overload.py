"""Instances that say how busy they are: who is asked first, who is not asked, and what becomes of their callers."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import PLACE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import Checkpoint, Load, Status, TakenCalls
from tests.support.switchboard import NotedAgent, Room


@pytest.fixture
def room() -> Room:
    return Room(max_calls=30)


def report(agent: NotedAgent, busy: float, takes: TakenCalls = "all", active: int = 0) -> None:
    why = "" if takes == "all" else "it is busy for 90% of its time"
    load = Load(busy=busy, lag_p95_ms=3.0, core=busy, takes=takes, why=why)
    agent.say(Status(active=active, capacity=20, state="serving", load=load))


def test_the_least_busy_instance_is_asked_first_and_not_the_one_with_the_fewest_calls(room: Room) -> None:
    weak, strong = room.agent("weak", capacity=20), room.agent("strong", capacity=20)
    report(weak, 0.62, active=4)
    report(strong, 0.35, active=8)
    room.call()
    assert (len(weak.offers), len(strong.offers)) == (0, 1)


def test_many_calls_at_once_do_not_all_go_to_who_was_least_busy_a_moment_ago(room: Room) -> None:
    one, two = room.agent("one", capacity=20), room.agent("two", capacity=20)
    report(one, 0.04)
    report(two, 0.13)
    for _ in range(12):
        room.call()
    assert 4 <= len(two.offers) <= 7
    assert len(one.offers) + len(two.offers) == 12


def test_who_is_nearly_as_busy_takes_turns(room: Room) -> None:
    agents = [room.agent(name, capacity=20) for name in ("a", "b", "c")]
    for number, agent in enumerate(agents):
        report(agent, 0.20 + number / 50)
    for _ in range(6):
        room.call()
    assert [len(agent.offers) for agent in agents] == [2, 2, 2]


def test_an_overloaded_instance_is_offered_no_new_call(room: Room) -> None:
    one, two = room.agent("one", capacity=20), room.agent("two", capacity=20)
    report(one, 0.9, "takeovers")
    report(two, 0.8)
    for _ in range(3):
        room.call()
    assert (len(one.offers), len(two.offers)) == (0, 3)


def test_with_all_overloaded_a_caller_rings_until_one_is_not(room: Room) -> None:
    one = room.agent(capacity=20)
    report(one, 0.9, "takeovers")
    call, leg = room.call()
    room.wait(1.0)
    assert (leg.notes, one.offers) == (["ring"], [])
    report(one, 0.7)
    assert len(one.offers) == 1
    one.take()
    assert call.phase is Phase.LIVE


def test_and_is_told_busy_with_the_reason_if_all_stay_so(room: Room) -> None:
    one = room.agent(capacity=20)
    report(one, 0.9, "takeovers")
    _, leg = room.call()
    room.wait(PLACE_S + 0.1)
    assert leg.ended == (
        EndReason.BUSY,
        "instances connected: 1, and none took the call; busy with the calls that they have: 1",
    )


@pytest.mark.parametrize(("takes", "offers"), [("takeovers", 1), ("none", 0)])
def test_a_call_in_progress_is_offered_to_one_that_takes_no_new_calls(
    room: Room, takes: TakenCalls, offers: int
) -> None:
    one = room.agent("one", capacity=20)
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id=call.call_id, state={}))
    two = room.agent("two", capacity=20)
    report(two, 0.9, takes)
    one.lose()
    room.wait(0.1)
    assert len(two.offers) == offers
    assert leg.ended is None


def test_a_snapshot_has_the_load(room: Room) -> None:
    one = room.agent(capacity=20)
    report(one, 0.5)
    (instance,) = room.board.snapshot().instances
    assert instance.load is not None
    assert instance.load.busy == 0.5
