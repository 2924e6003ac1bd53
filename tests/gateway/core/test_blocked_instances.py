"""Instances whose loop a call blocks, or whose media stands still: the others leave, and the culprit stays."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.silent_instances import SilentInstances
from piopiy_pipeline.signaling.messages import Hangup
from tests.support.agents import logged
from tests.support.silences import blocked, culprit_and_other, ended, heartbeat, silent
from tests.support.switchboard import Room


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
