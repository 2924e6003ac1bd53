"""Instances whose loop a call blocks, or whose media stands still: the others leave, and the culprit stays."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.blocking_code import BlockingCode
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.signaling.messages import Cancel, Checkpoint, Hangup, Move
from tests.support.agents import logged
from tests.support.silences import blocked, culprit_and_other, ended, heartbeat, silent
from tests.support.switchboard import NotedAgent, Room


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


# ---------------------------------------------------------------------- suspected


def test_a_call_that_may_block_stays_when_the_others_leave_and_is_not_convicted(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=0.1)
    silent(one)
    assert [offer.call_id for offer in two.offers] == ["call-2"]
    two.take()
    one.lose()
    assert culprit.ended is None, "it may have waited for a processor"
    assert [offer.call_id for offer in two.offers] == ["call-2", "call-1"]


def test_a_suspicion_of_which_nothing_more_is_heard_is_forgotten(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=0.1)
    silent(one)
    two.take()
    room.wait(1.5)
    blocked(one, "call-1", blocked_s=0.2)
    room.wait(BlockingCode.SUSPECTED_S - 0.1)
    assert [offer.call_id for offer in two.offers] == ["call-2"]
    room.wait(0.2)
    assert [offer.call_id for offer in two.offers] == ["call-2", "call-1"]
    two.take()
    room.wait(30)
    assert culprit.ended is None


def test_a_suspicion_is_over_when_the_loop_turns(room: Room) -> None:
    one, two, _, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=0.1)
    heartbeat(one)
    silent(one)
    assert [offer.call_id for offer in two.offers] == ["call-1", "call-2"]


def test_who_was_suspected_in_the_place_of_another_call_leaves_as_well(room: Room) -> None:
    one, two, _, _ = culprit_and_other(room)
    blocked(one, "call-1", blocked_s=0.1)
    silent(one)
    two.take()
    blocked(one, None, blocked_s=0.5)
    assert [offer.call_id for offer in two.offers] == ["call-2", "call-1"]


# ---------------------------------------------------------------------- named too late


def culprit_that_has_left(room: Room) -> tuple[NotedAgent, NotedAgent, Any, Any]:
    """The culprit and another call have left the silent instance before its watchdog named the culprit."""
    one, two, culprit, other = culprit_and_other(room)
    room.wait(1.0)
    heartbeat(two)
    silent(one)
    for call_id in ("call-1", "call-2"):
        offer = next(each for each in two.offers if each.call_id == call_id)
        two.sent.append(offer)  # the last one, which the steps of the protocol are about
        two.take()
    two.sent.clear()
    return one, two, culprit, other


def test_a_call_that_is_named_when_it_has_left_is_taken_from_the_next_instance(room: Room) -> None:
    one, two, culprit, other = culprit_that_has_left(room)
    room.wait(0.05)
    blocked(one, "call-1", blocked_s=0.41, limit_s=4.0)
    assert ended(two) == [("call-1", EndReason.MOVED)]
    three = room.agent("three")
    for at in range(7):
        room.wait(0.5)
        blocked(one, "call-1", blocked_s=0.91 + at / 2, limit_s=4.0)
    assert not [*one.offers[2:], *two.offers, *three.offers], "it would block them as well"
    assert culprit.ended is None
    room.wait(0.2)
    assert culprit.ended == (
        EndReason.ERROR,
        "its code has blocked the agent for 4 s at bot.py:12 in look_up",
    )
    assert other.ended is None


def test_it_goes_on_elsewhere_when_its_code_has_returned(room: Room) -> None:
    one, two, culprit, _ = culprit_that_has_left(room)
    blocked(one, "call-1", limit_s=4.0)
    room.wait(1.0)
    assert not two.offers
    heartbeat(one)
    assert [offer.call_id for offer in two.offers] == ["call-1"]
    two.take()
    room.wait(20)
    assert culprit.ended is None


def test_it_goes_on_when_the_instance_has_a_new_connection(room: Room) -> None:
    one, two, culprit, _ = culprit_that_has_left(room)
    blocked(one, "call-1", limit_s=4.0)
    again = room.agent("one")
    room.wait(0.3)
    [(agent, offer)] = [(agent, offer) for agent in (two, again) for offer in agent.offers]
    assert offer.call_id == "call-1"
    agent.take()
    room.wait(20)
    assert culprit.ended is None


def test_it_ends_when_the_process_that_it_blocks_is_killed(room: Room) -> None:
    one, two, culprit, other = culprit_that_has_left(room)
    blocked(one, "call-1")
    one.lose()
    assert culprit.ended == (
        EndReason.ERROR,
        "its code blocked the agent at bot.py:12 in look_up, and the connection to the agent was lost",
    )
    assert not two.offers
    assert other.ended is None


def test_an_offer_of_it_is_withdrawn(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    room.wait(1.0)
    silent(one)
    blocked(one, "call-1")
    assert [message.call_id for message in two.sent if isinstance(message, Cancel)] == ["call-1"]
    room.wait(2.0)
    assert [offer.call_id for offer in two.offers].count("call-1") == 1
    assert culprit.ended is None


def test_what_an_instance_says_that_has_turned_since_is_no_reason_to_take_it(room: Room) -> None:
    one, two, _, _ = culprit_that_has_left(room)
    room.wait(0.1)
    heartbeat(one)
    room.wait(0.1)
    blocked(one, "call-1")
    assert ended(two) == []


def test_nor_is_a_suspicion(room: Room) -> None:
    one, two, _, _ = culprit_that_has_left(room)
    blocked(one, "call-1", blocked_s=0.1)
    assert ended(two) == []


def test_it_waits_no_longer_when_another_call_is_named(room: Room) -> None:
    one, two, _, _ = culprit_that_has_left(room)
    blocked(one, "call-1")
    blocked(one, "call-2")
    room.wait(0.3)
    assert [offer.call_id for offer in two.offers] == ["call-1"]
    assert ended(two) == [("call-1", EndReason.MOVED), ("call-2", EndReason.MOVED)]


def test_a_call_whose_next_instance_gets_ready_stays_when_its_code_blocks(room: Room) -> None:
    one, two, _, _ = culprit_and_other(room)
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Move(call_id="call-1"))
    assert [offer.call_id for offer in two.offers] == ["call-1"]
    blocked(one, "call-1")
    assert isinstance(two.last(), Cancel)


def test_a_call_that_has_blocked_and_is_given_back_is_no_culprit_any_more(room: Room) -> None:
    one, two, culprit, _ = culprit_and_other(room)
    blocked(one, "call-1")
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN))
    two.take()
    two.lose()
    room.wait(0.1)
    assert culprit.ended is None
