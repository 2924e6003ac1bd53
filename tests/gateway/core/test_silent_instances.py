"""Calls of instances that have gone silent, are blocked, or are back: with agents that only take notes."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import RECOVERY_S, SILENCE_S
from piopiy_pipeline.gateway.core.instances import LATE_S
from piopiy_pipeline.gateway.core.media_path import ALONE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.messages import (
    Answer,
    Blocked,
    Cancel,
    Checkpoint,
    Control,
    Ended,
    Hangup,
    Heartbeat,
    Move,
    Offer,
    Status,
    Transfer,
    dump,
    parse_agent_message,
)
from tests.support.agents import logged
from tests.support.switchboard import NotedAgent, Room


@pytest.fixture
def room() -> Room:
    return Room()


def silent(agent: NotedAgent) -> None:
    """Let the gateway notice that nothing is heard of it."""
    agent.room.board.silences.silent(agent.instance, "nothing was heard of it for 1.0 s", agent.room.now)


def heartbeat(agent: NotedAgent, times: int = 1, **media: tuple[int, int]) -> None:
    for _ in range(times):
        agent.say(Heartbeat(media={name.replace("_", "-"): counts for name, counts in media.items()}))


def blocked(
    agent: NotedAgent,
    call_id: str | None,
    *,
    blocked_s: float = 0.4,
    limit_s: float = 10.0,
    slow: bool = False,
) -> None:
    message = Blocked(
        agent_id="desk",
        instance_id=agent.instance.instance_id,
        call_id=call_id,
        place="bot.py:12 in look_up",
        blocked_s=blocked_s,
        limit_s=limit_s,
        slow=slow,
    )
    agent.room.board.silences.blocked(message, agent.room.now)


def ended(agent: NotedAgent) -> list[tuple[str, EndReason]]:
    return [(message.call_id, message.reason) for message in agent.sent if isinstance(message, Ended)]


def test_the_calls_of_a_silent_instance_move_by_their_checkpoints_and_it_is_told(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    heartbeat(one)
    media = one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    two = room.agent("two")
    silent(one)
    assert media.closed, "what it says from now on is not heard"
    assert ended(one) == [("call-1", EndReason.MOVED)]
    assert two.offers[0].checkpoint == {"turn": 1}
    two.take()
    assert (call.phase, leg.ended) == (Phase.LIVE, None)
    assert leg.notes == ["ring", "answer"], "the caller's leg was answered once"


def test_an_older_agent_is_told_in_words_that_it_knows(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    one.take()
    room.board.call("call-1").agent.stranded.leave(one.instance, "its media stream stands still", room.now)  # type: ignore[union-attr]
    assert ended(one) == [("call-1", EndReason.AGENT_LOST)]
    assert len(two.offers) == 1


def test_a_silent_instance_is_offered_nothing_until_it_is_back(room: Room) -> None:
    one, two = room.agent("one", capacity=9), room.agent("two", capacity=2)
    silent(one)
    room.call()
    two.take()
    heartbeat(one, SilentInstances.RETURNS - 1)
    room.call()
    two.take()
    assert not one.offers
    heartbeat(one)
    room.call()
    assert len(one.offers) == 1


def test_an_instance_that_turns_once_in_a_while_is_not_back(room: Room) -> None:
    one = room.agent("one")
    silent(one)
    for _ in range(5):
        heartbeat(one, SilentInstances.RETURNS - 1)
        silent(one)
    assert not one.instance.takes_calls


def test_without_another_instance_a_call_stays_and_goes_on_when_it_is_back(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    media = one.take()
    silent(one)
    assert not media.closed
    assert (call.phase, leg.ended, ended(one)) == (Phase.LIVE, None, [])
    heartbeat(one, SilentInstances.RETURNS)
    one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    assert call.agent.assignment.checkpoint == {"turn": 2}
    assert room.board.snapshot().calls[0].recoveries == 0


def test_a_call_that_stayed_moves_when_somebody_comes(room: Room) -> None:
    one = room.agent("one")
    room.call()
    one.take()
    silent(one)
    two = room.agent("two")
    assert len(two.offers) == 1
    assert ended(one)[0][0] == "call-1"


def test_and_when_somebody_has_become_free(room: Room) -> None:
    one, two = room.agent("one", capacity=2), room.agent("two", capacity=1)
    room.call()
    one.take()
    room.call()
    two.take()
    room.call()
    one.take()
    silent(one)
    assert len(two.offers) == 1, "it is full"
    two.hangup(EndReason.AGENT_HANGUP)
    two.say(Status(active=0, capacity=1))
    assert len(two.offers) == 2
    assert len(ended(one)) == 1, "one call has moved, and the other waits"


def test_a_call_that_stayed_does_not_move_from_an_instance_that_comes_back_just_now(room: Room) -> None:
    one = room.agent("one")
    room.call()
    one.take()
    silent(one)
    heartbeat(one)
    two = room.agent("two")
    assert not two.offers


def test_a_call_that_stayed_ends_with_its_connection(room: Room) -> None:
    one = room.agent("one")
    _, leg = room.call()
    one.take()
    silent(one)
    one.lose()
    room.wait(RECOVERY_S + 0.1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_a_call_that_hangs_one_instance_after_another_stays_at_last(room: Room) -> None:
    agents = [room.agent(name) for name in "abcdef"]
    call, leg = room.call()
    for _ in range(SuspectLosses.MOST_ALONE + 1):
        holder = next(agent for agent in agents if agent.instance.calls)
        holder.take()
        silent(holder)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)
    assert call.agent.serves(holder.instance)
    assert call.agent.assignment.recoveries == SuspectLosses.MOST_ALONE


def moved_to_a_silent_instance(room: Room) -> tuple[NotedAgent, NotedAgent, Any, Any]:
    """A call that was moved from a silent instance to one that turns out to be silent, too."""
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    silent(one)
    room.wait(0.5)
    assert isinstance(two.last(), Cancel), "it does not answer the offer"
    silent(two)
    return one, two, call, leg


def test_a_call_between_silent_instances_waits_and_goes_on_with_the_first_that_is_back(room: Room) -> None:
    _, two, call, leg = moved_to_a_silent_instance(room)
    room.wait(RECOVERY_S + 20)
    assert (call.phase, leg.ended) == (Phase.OFFERING, None)
    heartbeat(two, SilentInstances.RETURNS)
    room.wait(0.3)
    assert two.offers[-1].checkpoint == {"turn": 1}
    two.take()
    room.wait(RECOVERY_S + 1)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)


def test_it_ends_when_all_of_them_are_given_up(room: Room) -> None:
    one, two, _, leg = moved_to_a_silent_instance(room)
    room.wait(RECOVERY_S + 20)
    one.lose()
    room.wait(1)
    assert leg.ended is None
    two.lose()
    room.wait(0.3)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_nor_does_it_wait_for_ever(room: Room) -> None:
    _, two, _, leg = moved_to_a_silent_instance(room)
    room.wait(SILENCE_S - 1)
    assert leg.ended is None
    for _ in range(3):  # it comes back and is silent again: the call does not wait anew
        heartbeat(two, SilentInstances.RETURNS)
        silent(two)
    room.wait(1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_a_draining_instance_that_is_silent_is_not_waited_for(room: Room) -> None:
    one, two, _, leg = moved_to_a_silent_instance(room)
    one.lose()
    two.say(Status(active=0, capacity=4, state="draining"))
    room.wait(RECOVERY_S)
    assert leg.ended is not None


def test_a_caller_between_instances_hears_after_two_seconds_that_the_call_goes_on(room: Room) -> None:
    one, two, _, leg = moved_to_a_silent_instance(room)
    leg.notes.clear()
    room.frame_tick(times=int(ALONE_S / 0.02))
    assert leg.notes == []
    room.frame_tick(times=50)
    assert 48 <= leg.notes.count("frame") <= 50
    heartbeat(two, SilentInstances.RETURNS)
    room.wait(0.3)
    media = two.take()
    room.frame_tick()
    assert media.frame_ticks == 1
    leg.notes.clear()
    two.lose()
    room.frame_tick(times=20)
    assert leg.notes == [], "the next change begins anew"
    one.lose()


def test_an_offer_to_an_instance_that_falls_silent_is_withdrawn_and_goes_to_the_next(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    silent(one)
    assert isinstance(one.last(), Cancel)
    assert len(two.offers) == 1


def test_with_nobody_else_the_caller_rings_until_it_is_back(room: Room) -> None:
    one = room.agent("one")
    _, leg = room.call()
    silent(one)
    room.wait(1)
    heartbeat(one, SilentInstances.RETURNS)
    room.wait(0.3)
    one.take()
    assert leg.notes == ["ring", "answer"]


# ---------------------------------------------------------------------- late, and not silent yet


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


# ---------------------------------------------------------------------- blocked by a call


def culprit_and_other(room: Room) -> tuple[NotedAgent, NotedAgent, Any, Any]:
    """Two calls with one instance, another that is free, and the legs of both calls."""
    one = room.agent("one")
    heartbeat(one)
    legs = []
    for _ in range(2):
        legs.append(room.call()[1])
        one.take()
    culprit, other = legs
    return one, room.agent("two"), culprit, other


def test_a_blocked_loop_moves_the_others_at_once_when_it_has_lasted(room: Room) -> None:
    one, two, culprit, other = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=0.4)
    assert not two.offers, "it may turn again"
    blocked(one, "call-1", blocked_s=1.0)
    assert [offer.call_id for offer in two.offers] == ["call-2"]
    two.take()
    assert ended(one) == [("call-2", EndReason.MOVED)]
    assert (culprit.ended, other.ended) == (None, None)


def test_the_call_that_blocks_ends_at_its_limit_and_names_the_place(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=1.0, limit_s=5.0)
    two.take()
    room.wait(3.9)
    assert culprit.ended is None
    room.wait(0.2)
    assert culprit.ended == (
        EndReason.ERROR,
        "its code has blocked the agent for 5 s at bot.py:12 in look_up",
    )
    assert [offer.call_id for offer in two.offers] == ["call-2"]


def test_a_loop_that_turns_again_in_time_keeps_its_call(room: Room) -> None:
    one, _, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=1.0, limit_s=5.0)
    heartbeat(one)
    room.wait(20)
    assert culprit.ended is None


def test_the_call_that_blocks_is_not_offered_when_its_process_is_killed(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=1.0)
    one.lose()
    assert culprit.ended is not None
    reason, detail = culprit.ended
    assert (reason, "bot.py:12 in look_up" in detail) == (EndReason.ERROR, True)
    assert [offer.call_id for offer in two.offers] == ["call-2"]


def test_code_of_no_call_moves_every_call(room: Room) -> None:
    one, two, _, _ = culprit_and_other(room)
    blocked(one, None, blocked_s=1.0)
    assert [offer.call_id for offer in two.offers] == ["call-1", "call-2"]


def test_a_watchdog_cannot_name_the_call_of_another_instance(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(two, "call-1", blocked_s=0.4)
    room.wait(20)
    assert culprit.ended is None
    silent(one)
    assert [offer.call_id for offer in two.offers] == ["call-1", "call-2"]


# ---------------------------------------------------------------------- media that stands


def test_a_call_whose_media_stands_moves_alone(room: Room) -> None:
    one = room.agent("one")
    heartbeat(one)
    for _ in range(2):
        room.call()
        media = one.take()
        media.sent_bytes = 6400
    two = room.agent("two")
    for at in range(7):
        heartbeat(one, call_1=(640, 0), call_2=(640 * at, 0))
    assert [offer.call_id for offer in two.offers] == ["call-1"]
    assert one.instance.takes_calls


# ---------------------------------------------------------------------- epochs


def test_what_an_instance_says_of_a_call_that_was_taken_from_it_does_not_count(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    one.take()
    silent(one)
    two.take()
    for message in of_the_call():
        one.say(message)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)
    assert call.agent.assignment.checkpoint is None
    assert not call.control.transferring
    assert not call.media_path.held


def test_nor_does_it_when_it_is_offered_the_same_call_again(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    one.take()
    silent(one)
    heartbeat(one, SilentInstances.RETURNS)
    two.take()
    two.lose()
    assert isinstance(one.last(), Offer)
    for message in of_the_call():
        one.say(message)
    assert (call.phase, leg.ended) == (Phase.OFFERING, None)
    assert call.agent.assignment.checkpoint is None
    assert not call.control.transferring
    assert not call.media_path.held
    one.take()
    assert call.phase is Phase.LIVE


def of_the_call() -> list[Any]:
    """Everything that an agent may say of a call, but an accept."""
    messages = [
        Answer(call_id="call-1"),
        Checkpoint(call_id="call-1", state={"stale": True}),
        Control(call_id="call-1", what="hold", on=True),
        Transfer(call_id="call-1", request_id="r", to="100"),
        Hangup(call_id="call-1", reason=EndReason.AGENT_HANGUP),
    ]
    assert [parse_agent_message(dump(message)) for message in messages] == messages
    return messages


def test_heartbeats_of_a_loop_that_turns_too_slowly_change_nothing_until_its_watchdog_is_silent(
    room: Room,
) -> None:
    one, two, culprit, other = culprit_and_other(room)
    for at in range(8):
        blocked(one, "call-1", blocked_s=2.0 + at / 2, limit_s=30.0, slow=True)
        if not at:
            two.take()
        for _ in range(2):
            room.wait(0.25)
            heartbeat(one)
    assert [offer.call_id for offer in two.offers] == ["call-2"], "the culprit stays"
    assert not one.instance.takes_calls
    assert (culprit.ended, other.ended) == (None, None)
    room.wait(SilentInstances.SLOW_S)
    heartbeat(one, SilentInstances.RETURNS)
    assert one.instance.takes_calls
    assert not one.instance.blocked
    room.wait(30)
    assert culprit.ended is None


def test_the_culprit_ends_at_its_limit_although_the_loop_turns(room: Room) -> None:
    one, _, culprit, _ = culprit_and_other(room)
    for at in range(20):
        if culprit.ended is None:
            blocked(one, "call-1", blocked_s=2.0 + at / 2, limit_s=8.0, slow=True)
        room.wait(0.5)
        heartbeat(one, 2)
    assert culprit.ended == (
        EndReason.ERROR,
        "its code has blocked the agent for 8 s at bot.py:12 in look_up",
    )


def test_what_an_ended_call_has_left_is_called_so(room: Room) -> None:
    one, _, _, _ = culprit_and_other(room)
    one.say(Hangup(call_id="call-1", reason=EndReason.AGENT_HANGUP))
    with logged() as lines:
        blocked(one, "call-1")
    assert "is blocked by what call call-1 has left, which is over, at bot.py:12 in look_up" in lines[-1][1]
