"""Who gets which call, and why each one ends: with agents, legs and media that only take notes."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import PLACE_S
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.signaling.messages import Cancel, Confirm, ConversationEvent, Ended, Status
from tests.support.switchboard import LIMITS, Room

# ---------------------------------------------------------------------- who is asked


def test_a_call_rings_is_offered_accepted_and_answered(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    assert leg.notes == ["ring"]
    assert one.offers[0].deadline_ms == 400
    one.take()
    assert leg.notes == ["ring", "answer"]
    assert call.phase is Phase.LIVE


def test_with_nobody_connected_the_reason_is_no_agent(room: Room) -> None:
    _, leg = room.call()
    room.wait(PLACE_S - 0.1)
    assert (leg.ended, leg.notes) == (None, ["ring"])
    room.wait(0.2)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.NO_AGENT
    assert "desk" in leg.ended[1]


def test_a_caller_who_comes_before_the_first_instance_rings_until_it_registers(room: Room) -> None:
    call, leg = room.call()
    room.wait(1.9)
    one = room.agent()
    one.take()
    assert (call.phase, leg.notes) == (Phase.LIVE, ["ring", "answer"])


def test_the_least_loaded_instance_is_asked_first(room: Room) -> None:
    small, large = room.agent("small", capacity=2), room.agent("large", capacity=10)
    small.say(Status(active=1, capacity=2))
    large.say(Status(active=2, capacity=10))
    room.call()
    assert (len(small.offers), len(large.offers)) == (0, 1)


def test_equally_loaded_instances_take_turns(room: Room) -> None:
    agents = [room.agent(name) for name in ("a", "b", "c")]
    for _ in range(6):
        room.call()
    assert [len(agent.offers) for agent in agents] == [2, 2, 2]


def test_calls_count_as_load_before_the_agent_reports_them(room: Room) -> None:
    one = room.agent(capacity=1)
    room.call()
    _, second = room.call()
    one.take()
    room.wait(PLACE_S)
    assert len(one.offers) == 1
    assert second.ended is not None
    assert second.ended[0] is EndReason.BUSY


def test_a_draining_instance_gets_no_more_calls(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    one.say(Status(active=0, capacity=4, state="draining"))
    room.call()
    room.call()
    assert (len(one.offers), len(two.offers)) == (0, 2)


def test_a_rejected_offer_goes_to_the_next_instance_at_once(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, _ = room.call()
    one.reject()
    assert len(two.offers) == 1
    two.take()
    assert call.phase is Phase.LIVE
    assert room.board.snapshot().calls[0].instance_id == "two"


def test_an_expired_offer_is_cancelled_and_goes_to_the_next(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    room.wait(0.39)
    assert two.offers == []
    room.wait(0.02)
    assert isinstance(one.last(), Cancel)
    assert len(two.offers) == 1


def test_a_late_accept_is_refused_and_the_call_has_one_agent(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, _ = room.call()
    late = one.open_media()
    room.wait(0.41)
    two.take()
    one.accept()
    assert isinstance(one.last(), Cancel)
    assert late.closed
    assert not any(isinstance(message, Confirm) for message in one.sent)
    one.answer()
    one.hangup(EndReason.ERROR)
    assert call.phase is Phase.LIVE, "an instance that has not got the call is not heard"


def test_an_accept_for_a_call_that_is_over_is_refused(room: Room) -> None:
    one = room.agent()
    call, _ = room.call()
    one.open_media()
    call.caller_hangup(room.now)
    one.accept()
    assert isinstance(one.last(), Cancel)


def test_when_all_have_refused_or_let_it_expire_the_reason_is_busy(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.reject()
    room.wait(0.5)
    assert isinstance(two.last(), Cancel)
    room.wait(PLACE_S + LIMITS.offer_s)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.BUSY


def test_an_accept_without_an_open_media_stream_counts_as_a_refusal(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    one.accept()
    assert isinstance(one.last(), Cancel)
    assert len(two.offers) == 1


def test_so_does_one_whose_media_stream_has_closed_again(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    call.agent.media_lost(one.open_media(), room.now)
    one.accept()
    room.wait(PLACE_S)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.BUSY


def test_a_media_token_works_once_and_only_while_the_offer_stands(room: Room) -> None:
    one = room.agent()
    call, _ = room.call()
    token = one.offers[0].media_token
    assert not call.agent.redeem("forged")
    assert call.agent.redeem(token)
    assert not call.agent.redeem(token)
    _ = room.agent("two")
    room.wait(0.5)
    assert not call.agent.redeem(token)


def test_more_calls_than_the_gateway_takes_are_busy() -> None:
    room = Room(max_calls=1)
    room.agent()
    room.call()
    _, leg = room.call()
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.BUSY


# ---------------------------------------------------------------------- setup


def test_an_agent_that_is_not_ready_in_time_ends_the_call_with_setup_timeout(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.open_media()
    one.accept()
    room.wait(10.1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.SETUP_TIMEOUT
    assert one.last() == Ended(call_id="call-1", reason=EndReason.SETUP_TIMEOUT, detail=leg.ended[1])


def test_an_answer_waits_for_the_start_of_the_media_stream(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    media = one.open_media()
    one.accept()
    one.answer()
    assert leg.notes == ["ring"]
    one.start_media(media)
    assert leg.notes == ["ring", "answer"]
    assert call.phase is Phase.LIVE


def test_a_callback_that_fails_before_the_answer_is_tried_once_elsewhere(room: Room) -> None:
    one, two, three = room.agent("one"), room.agent("two"), room.agent("three")
    _, leg = room.call()
    one.open_media()
    one.accept()
    one.hangup(EndReason.ERROR, "KeyError: 'OPENAI_API_KEY'")
    assert leg.ended is None
    two.open_media()
    two.accept()
    two.hangup(EndReason.ERROR, "KeyError again")
    assert leg.ended == (EndReason.ERROR, "KeyError again")
    assert three.offers == []


def test_with_no_other_instance_the_callbacks_failure_is_the_reason(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.open_media()
    one.accept()
    one.hangup(EndReason.ERROR, "the callback raised")
    assert leg.ended == (EndReason.ERROR, "the callback raised")
    assert len(one.offers) == 1


# ---------------------------------------------------------------------- the call


def test_sound_keys_and_messages_pass_while_the_call_is_live_and_only_then(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    media = one.open_media()
    call.caller_audio(b"1234")
    one.accept()
    one.start_media(media)
    call.caller_dtmf("5")
    one.answer()
    call.caller_audio(b"1234")
    call.caller_dtmf("1")
    call.caller_data({"a": 1})
    call.agent.bot_dtmf(media, "2")
    call.agent.bot_data(media, {"b": 2})
    room.board.on_frame_tick(room.now)
    call.caller_hangup(room.now)
    call.caller_audio(b"1234")
    assert media.notes == ["audio 4", "dtmf 1", "data {'a': 1}"]
    assert leg.notes[2:] == ["dtmf 2", "data {'b': 2}", "frame"]


def test_the_conversation_is_told_to_the_leg(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    one.say(ConversationEvent(call_id="call-1", at=1.0, event="user_turn", data={"text": "hello"}))
    assert leg.notes[-1] == "conversation user_turn"


def test_a_call_ends_once_with_the_first_reason(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    media = one.take()
    room.wait(5)
    one.hangup(EndReason.AGENT_HANGUP, "goodbye")
    call.caller_hangup(room.now)
    assert leg.ended == (EndReason.AGENT_HANGUP, "goodbye")
    assert media.closed
    assert room.ended().reason is EndReason.AGENT_HANGUP
    assert room.ended().duration_s == pytest.approx(5)
    assert not any(isinstance(message, Ended) for message in one.sent), "it knows"


def test_when_the_caller_hangs_up_the_agent_is_told(room: Room) -> None:
    one = room.agent()
    call, _ = room.call()
    media = one.take()
    call.caller_hangup(room.now)
    assert one.last() == Ended(call_id="call-1", reason=EndReason.CALLER_HANGUP)
    assert media.closed
    assert one.instance.calls == set()
    assert not room.board.playing


def test_when_the_caller_hangs_up_while_it_rings_the_offer_is_withdrawn(room: Room) -> None:
    one = room.agent()
    call, _ = room.call()
    call.caller_hangup(room.now)
    assert isinstance(one.last(), Cancel)


def test_the_longest_call_ends_with_max_duration(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    room.wait(59.9)
    assert leg.ended is None
    room.wait(0.2)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.MAX_DURATION


def test_a_failure_in_one_call_ends_that_call_alone(room: Room) -> None:
    one = room.agent()
    first, first_leg = room.call()
    one.take().fails = True
    _, second_leg = room.call()
    one.take()
    room.board.on_frame_tick(room.now)
    assert first.reason is EndReason.ERROR
    assert first_leg.ended is not None
    assert second_leg.ended is None
    assert second_leg.notes[-1] == "frame"


# ---------------------------------------------------------------------- the end of the gateway


def test_a_shutdown_ends_every_call_and_lets_every_agent_go(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, live = room.call()
    one.take()
    _, ringing = room.call()
    room.board.shutdown(room.now)
    _, late = room.call()
    for leg in (live, ringing, late):
        assert leg.ended is not None
        assert leg.ended[0] is EndReason.SHUTDOWN
    assert one.let_go
    assert two.let_go


def test_the_last_hundred_calls_are_remembered(room: Room) -> None:
    for _ in range(120):
        room.call()
    ended = room.board.snapshot().ended
    assert len(ended) == 100
    assert ended[-1].call_id == "call-120"
    assert ended[-1].duration_s == 0


def test_calls_that_have_ended_leave_no_deadlines_behind(room: Room) -> None:
    agent = room.agent()
    for _ in range(500):
        room.call()
        agent.take()
        agent.hangup(EndReason.AGENT_HANGUP)
    call, leg = room.call()
    agent.take()
    assert len(room.board.timers) == 1
    room.wait(LIMITS.max_duration_s + 1)
    assert call.reason is EndReason.MAX_DURATION
    assert leg.ended is not None
