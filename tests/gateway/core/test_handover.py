"""How a live call changes to another instance: the one before has it until the next one is ready for it."""

from __future__ import annotations

import itertools

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.handover import OFFER_S
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import (
    Accept,
    Answer,
    Cancel,
    Checkpoint,
    CheckpointKept,
    Ended,
    Hangup,
    Move,
    Offer,
    Status,
)
from tests.support.moved_calls import MovingCall, set_up
from tests.support.switchboard import Room


def test_the_one_before_has_the_call_until_the_next_one_is_ready(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    assert two.offers[0].checkpoint == {"turn": 1}
    media = set_up(two)
    assert (scene.call.phase, scene.holder) == (Phase.LIVE, "one")
    scene.say()
    assert scene.before.heard.endswith(scene.frames(11, 11)), "it still hears the caller"
    room.frame_tick()
    assert (scene.before.frame_ticks, media.frame_ticks) == (1, 0), "and is heard"
    two.answer()
    assert (scene.call.phase, scene.holder) == (Phase.LIVE, "two")
    assert scene.before.closed
    assert scene.one.last() == Ended(call_id="call-1", reason=EndReason.MOVED, detail="drained")
    room.frame_tick()
    assert (scene.before.frame_ticks, media.frame_ticks) == (1, 1)
    assert scene.leg.notes.count("answer") == 1
    assert not scene.one.instance.calls
    assert room.board.snapshot().calls[0].losses == 0


def test_what_the_caller_says_meanwhile_is_heard_by_both_and_nothing_twice(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.say(20)
    scene.move()
    media = set_up(two)
    scene.say(15)
    scene.call.caller_dtmf("1")
    assert media.heard == b""
    two.answer()
    scene.say()
    assert scene.before.heard == scene.frames(1, 45)
    assert media.heard == scene.frames(17, 46), "0.28 s before, what was said meanwhile, and what came then"
    assert media.notes[-2:] == ["dtmf 1", "audio 640"]


def test_it_hears_from_where_the_one_before_had_come(room: Room) -> None:
    """An agent that is busy asks for the move before it has read what the caller has said since."""
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.say(30)
    scene.move(heard_s=0.51)  # of 0.8 s
    media = set_up(two)
    two.answer()
    assert media.heard == scene.frames(12, 40)


def test_the_positions_of_the_next_one_begin_anew(room: Room) -> None:
    scene = MovingCall(room, "two", "three")
    two, three = scene.others
    three.say(Status(active=0, capacity=4, state="draining"))
    scene.move()
    set_up(two)
    two.answer()
    scene.say(20)
    three.say(Status(active=0, capacity=4))
    two.say(Status(active=1, capacity=4, state="draining"))
    two.say(Move(call_id="call-1", heard_s=0.41))  # 0.2 s were repeated to it, and 0.4 s came then
    media = set_up(three)
    three.answer()
    assert media.heard == scene.frames(7, 30)


def test_a_conversation_that_has_gone_on_stays_where_it_is(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    scene.one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    assert isinstance(two.last(), Ended)
    assert media.closed
    assert scene.holder == "one"
    two.answer()
    assert scene.holder == "one"
    scene.move()
    assert two.offers[-1].checkpoint == {"turn": 2}
    set_up(two)
    two.answer()
    assert scene.holder == "two"


def test_so_does_one_whose_bot_has_spoken_meanwhile(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    set_up(two)
    scene.before.received_bytes += 320
    two.answer()
    assert scene.holder == "one"
    assert isinstance(two.last(), Ended)
    scene.move()
    set_up(two)
    two.answer()
    assert scene.holder == "two"


def test_the_same_checkpoint_again_changes_nothing(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    set_up(two)
    scene.one.say(Checkpoint(call_id="call-1", state={"turn": 1}, number=7))
    scene.move()  # it asks every second
    two.answer()
    assert scene.holder == "two"
    assert len(two.offers) == 1


def test_what_the_next_one_saves_while_it_gets_ready_counts_from_the_change_on(room: Room) -> None:
    scene = MovingCall(room, "two", "three")
    two, three = scene.others
    three.say(Status(active=0, capacity=4, state="draining"))
    scene.move()
    set_up(two)
    two.say(Checkpoint(call_id="call-1", state={"turn": 1, "mine": True}, number=1))
    assert two.last() == CheckpointKept(call_id="call-1", number=1)
    two.answer()
    three.say(Status(active=0, capacity=4))
    two.lose()
    assert three.offers[0].checkpoint == {"turn": 1, "mine": True}


def test_one_that_rejects_or_lets_the_offer_expire_is_followed_by_the_next(room: Room) -> None:
    scene = MovingCall(room, "two", "three", "four")
    scene.move()
    two, three, four = scene.others
    two.reject()
    room.wait(OFFER_S - 0.1)
    assert isinstance(three.last(), Offer)
    room.wait(0.2)
    assert isinstance(three.last(), Cancel)
    set_up(four)
    four.answer()
    assert scene.holder == "four"


def test_a_callback_that_fails_costs_the_call_nothing(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    two.hangup(EndReason.ERROR, "the callback failed")
    assert scene.leg.ended is None
    assert scene.holder == "one"
    assert media.closed
    assert not scene.before.closed
    scene.say()
    assert scene.before.heard.endswith(scene.frames(11, 11))


def test_nor_does_one_that_is_never_ready(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    set_up(two)
    room.wait(11)
    assert two.last() == Ended(
        call_id="call-1", reason=EndReason.SETUP_TIMEOUT, detail="it was not ready in time"
    )
    assert scene.leg.ended is None
    assert scene.holder == "one"


@pytest.mark.parametrize("harm", ["lost", "media lost", "media fault"])
def test_nor_does_one_that_is_lost_while_it_gets_ready(room: Room, harm: str) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    if harm == "lost":
        two.lose()
    elif harm == "media lost":
        scene.call.agent.media_lost(media, room.now)
    else:
        scene.call.agent.media_fault(media, room.now, "nonsense")
    room.wait(2)
    assert scene.leg.ended is None
    assert scene.holder == "one"
    assert scene.call.phase is Phase.LIVE


def test_instances_that_fail_are_asked_less_and_less_but_a_new_one_at_once(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    for _ in range(40):
        scene.move()
        if isinstance(two.last(), Offer):
            set_up(two)
            two.hangup(EndReason.ERROR, "the callback failed")
            two.sent.append(Cancel(call_id="call-1", offer_id="", detail=""))
        room.wait(1)
        two.say(Status(active=0, capacity=4))
    assert len(two.offers) in range(5, 7)
    three = room.agent("three")
    scene.move()
    set_up(three)
    three.answer()
    assert scene.holder == "three"


@pytest.mark.parametrize("worker", ["call", "shared", None])
def test_what_comes_in_the_place_of_one_that_failed_is_asked_less_and_less_too(
    room: Room, worker: WorkerKind | None
) -> None:
    scene = MovingCall(room)
    names = (f"next-w{number}" if worker else "next" for number in itertools.count())
    waiting = room.agent(next(names), capacity=1, worker=worker)
    offers = 0
    for _ in range(100):
        scene.move()
        while waiting.offers:
            offers += 1
            failing = waiting
            set_up(failing)
            if worker:  # one that takes a call is replaced at once
                waiting = room.agent(next(names), capacity=1, worker=worker)
            failing.hangup(EndReason.ERROR, "the callback failed")
            failing.lose()
            if not worker:  # it connects again
                waiting = room.agent(next(names), capacity=1)
            assert offers < 10
        room.wait(0.1)
    assert offers in range(3, 6), "after 1 s, 2 s and 4 s"
    mended = room.agent("other-w1", worker=worker)
    scene.move()
    assert not waiting.offers, "it is paused still"
    set_up(mended)
    mended.answer()
    assert scene.holder == "other-w1"


def test_with_nobody_there_the_call_stays(room: Room) -> None:
    scene = MovingCall(room)
    scene.move()
    assert scene.holder == "one"
    late = room.agent("late")
    scene.move()
    set_up(late)
    late.answer()
    assert scene.holder == "late"


@pytest.mark.parametrize("accepted", [False, True])
def test_one_that_gets_ready_takes_over_when_the_one_before_is_lost(room: Room, accepted: bool) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two) if accepted else None
    scene.one.lose()
    assert len(two.offers) == 1
    assert scene.call.phase is (Phase.SETUP if accepted else Phase.OFFERING)
    scene.say()
    if media is None:
        media = set_up(two)
    two.answer()
    assert (scene.call.phase, scene.holder) == (Phase.LIVE, "two")
    scene.say()
    assert media.heard == scene.frames(1, 12), "the 0.28 s before, too"


def test_or_when_it_is_told_a_second_time_to_end(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    set_up(two)
    scene.one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    two.answer()
    assert (scene.call.phase, scene.holder) == (Phase.LIVE, "two")


def test_a_call_that_ends_lets_both_go(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    scene.call.caller_hangup(room.now)
    assert media.closed
    assert scene.before.closed
    assert isinstance(two.last(), Ended)
    assert isinstance(scene.one.last(), Ended)
    assert not two.instance.calls


def test_a_hold_goes_on_with_the_next_one(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    scene.call.control.switch("hold", True)
    two.answer()
    assert two.last().type == "control"
    room.frame_tick()
    assert media.pauses == 1


def test_what_the_next_one_says_before_the_change_does_not_count(room: Room) -> None:
    scene = MovingCall(room, "two")
    [two] = scene.others
    scene.move()
    media = set_up(two)
    scene.call.agent.bot_dtmf(media, "9")
    two.say(Move(call_id="call-1"))
    two.say(Accept(call_id="call-1", offer_id="of another"))
    two.say(Answer(call_id="call-2"))
    assert scene.holder == "one"
    assert "dtmf 9" not in scene.leg.notes
