"""Instances that are late and not silent yet, with those of the same supervisor: who is asked before them."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.instances import LATE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.signaling.messages import Move, Status
from tests.support.silences import ended, heartbeat, silent
from tests.support.switchboard import NotedAgent, Room


def supervised(room: Room, host: str, *, capacity: int = 4) -> list[NotedAgent]:
    """Two call workers of one supervisor, of which heartbeats have come."""
    workers = [room.agent(f"{host}-w{number}", capacity=capacity, worker="shared") for number in (1, 2)]
    for worker in workers:
        heartbeat(worker)
    return workers


def test_a_call_of_a_silent_call_worker_is_not_offered_to_one_that_hangs_with_it(room: Room) -> None:
    hung = supervised(room, "desk-1a")
    call, _ = room.call()
    hung[0].take()
    well = supervised(room, "desk-2b")
    for worker in well:  # they have more to do
        worker.say(Status(active=2, capacity=4))
    room.now += 0.5
    heartbeat(hung[1])
    room.now += 0.5
    for worker in well:
        heartbeat(worker)
    silent(hung[0])
    assert (len(hung[1].offers), sum(len(worker.offers) for worker in well)) == (0, 1)
    silent(hung[1])
    next(worker for worker in well if worker.offers).take()
    assert call.phase is Phase.LIVE


def test_call_workers_of_one_supervisor_are_silent_together(room: Room) -> None:
    """Each alone is given longer, if its heartbeats were irregular."""
    hung, well = supervised(room, "desk-1a"), supervised(room, "desk-2b")
    room.now += 0.25
    heartbeat(hung[1])
    for worker in well:
        heartbeat(worker)
    room.now += SilentInstances.TOGETHER_S
    silent(hung[0])
    assert [bool(worker.instance.silent) for worker in (*hung, *well)] == [True, True, False, False]


def test_one_that_is_heard_of_is_not_silent_with_another(room: Room) -> None:
    one, two = supervised(room, "desk-1a")
    room.now += 1.0
    heartbeat(two)
    room.now += 0.5
    silent(one)
    assert (bool(one.instance.silent), two.instance.silent) == (True, "")


def test_of_instances_that_are_all_late_those_of_a_suspected_supervisor_come_last(room: Room) -> None:
    hung = supervised(room, "desk-1a")
    well = supervised(room, "desk-2b")
    for worker in well:
        worker.say(Status(active=2, capacity=4))
    room.now += 0.6
    silent(hung[0])
    room.call()
    assert len(hung[1].offers) == 0


def test_a_call_stays_while_all_others_are_late_and_moves_when_one_is_heard_of(room: Room) -> None:
    one, two = supervised(room, "desk-1a")
    room.call()
    media = one.take()
    room.now += 0.6
    silent(one)
    assert (media.closed, two.offers) == (False, []), "what it has said ahead is heard"
    heartbeat(two)
    assert (media.closed, len(two.offers)) == (True, 1)


def test_a_caller_is_offered_to_who_was_heard_of_and_to_others_only_without_any(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two", capacity=1)
    for agent in (one, two):
        heartbeat(agent)
    room.now += LATE_S
    heartbeat(two)
    room.call()
    room.call()
    assert [len(two.offers), len(one.offers)] == [1, 1]


def test_an_agent_without_heartbeats_is_never_late(room: Room) -> None:
    one = room.agent("one")
    room.now += 60
    room.call()
    assert len(one.offers) == 1


def test_who_gets_ready_for_a_call_that_moves_and_falls_silent_is_followed_by_the_next(room: Room) -> None:
    one = room.agent("one")
    call, _ = room.call()
    media = one.take()
    heartbeat(one)
    two, three = room.agent("two"), room.agent("three")
    one.say(Move(call_id="call-1"))
    two.open_media()
    two.accept()
    silent(two)
    assert ended(two) == [("call-1", EndReason.AGENT_LOST)], "an older agent does not know `moved`"
    assert len(three.offers) == 1
    three.take()
    assert (call.phase, media.closed) == (Phase.LIVE, True)


def test_a_call_whose_agent_falls_silent_goes_to_who_gets_ready_for_it_already(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two", capacity=1)
    call, _ = room.call()
    one.take()
    one.say(Move(call_id="call-1"))
    next_media = two.open_media()
    two.accept()
    silent(one)
    two.start_media(next_media)
    two.answer()
    assert (call.phase, call.agent.media) == (Phase.LIVE, next_media)
