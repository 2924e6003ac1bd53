"""Calls of instances that have gone silent or are back, and what those say of calls that they no longer have."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import RECOVERY_S, SILENCE_S
from piopiy_pipeline.gateway.core.media_path import ALONE_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.messages import (
    Answer,
    Cancel,
    Checkpoint,
    Control,
    Hangup,
    Offer,
    Status,
    Transfer,
    dump,
    parse_agent_message,
)
from tests.support.silences import ended, heartbeat, silent
from tests.support.switchboard import NotedAgent, Room


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
    assert room.board.snapshot().calls[0].losses == 0


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
    assert call.agent.assignment.losses.count == SuspectLosses.MOST_ALONE


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
