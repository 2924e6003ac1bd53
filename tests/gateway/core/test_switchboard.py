"""Who gets which call, and why each one ends: with agents, legs and media that only take notes."""

from __future__ import annotations

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.agent_assignment import MAX_MOVES, PLACE_S, RECOVERY_S
from piopiy_pipeline.gateway.core.agent_side import MEDIA_GRACE_S
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.core.suspect_losses import SuspectLosses
from piopiy_pipeline.signaling.messages import (
    Cancel,
    Checkpoint,
    Confirm,
    ConversationEvent,
    Ended,
    Hangup,
    Status,
)
from piopiy_pipeline.signaling.unread_messages import UnreadMessage
from tests.support.switchboard import LIMITS, Room


@pytest.fixture
def room() -> Room:
    return Room()


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


# ---------------------------------------------------------------------- agents that are lost


def test_a_lost_agent_hands_its_call_to_another_with_the_last_checkpoint(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    media = one.take()
    media.gaps, media.worst_gap_s = 2, 0.3
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    one.lose()
    assert leg.ended is None
    assert media.closed
    assert two.offers[0].checkpoint == {"turn": 2}
    two.take()
    assert leg.notes == ["ring", "answer"], "the caller's leg was answered once"
    assert call.phase is Phase.LIVE
    seen = room.board.snapshot().calls[0]
    assert (seen.instance_id, seen.recoveries, seen.gaps, seen.worst_gap_s) == ("two", 1, 2, 0.3)


def test_with_no_other_instance_the_call_ends_with_agent_lost(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    one.lose()
    room.wait(RECOVERY_S - 0.1)
    assert leg.ended is None, "somebody may come"
    room.wait(0.2)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_a_call_that_lost_its_only_agent_goes_on_when_that_is_there_again(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.lose()
    room.wait(2.0)
    again = room.agent()
    room.wait(0.3)
    assert again.offers[0].checkpoint == {"turn": 1}
    again.take()
    room.wait(RECOVERY_S)
    assert (call.phase, leg.ended) == (Phase.LIVE, None)


def test_and_so_it_does_when_the_others_refuse(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.take()
    one.lose()
    two.reject()
    room.wait(RECOVERY_S + 0.5)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_an_agent_lost_before_it_accepted_is_just_passed_over(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    one.lose()
    assert len(two.offers) == 1
    assert room.board.snapshot().calls[0].recoveries == 0


def test_a_call_that_loses_agent_after_agent_is_given_up(room: Room) -> None:
    agents = {name: room.agent(name) for name in ("a", "b", "c", "d", "e", "f")}
    _, leg = room.call()
    lost = 0
    while leg.ended is None:
        holder = next(agent for agent in agents.values() if agent.instance.calls)
        holder.take()
        holder.lose()
        lost += 1
    assert lost == SuspectLosses.MOST_ALONE + 1
    assert leg.ended[0] is EndReason.AGENT_LOST


def test_an_agent_that_shuts_down_gives_its_call_to_another(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    media = one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    assert leg.ended is None
    assert media.closed
    assert two.offers[0].checkpoint == {"turn": 1}
    two.take()
    assert call.phase is Phase.LIVE
    assert leg.notes == ["ring", "answer"]
    assert room.board.snapshot().calls[0].recoveries == 0, "nobody was lost"


def test_with_no_other_instance_a_shutdown_ends_the_call_and_says_so(room: Room) -> None:
    one, full = room.agent("one"), room.agent("full")
    _, leg = room.call()
    one.take()
    full.say(Status(active=0, capacity=10, state="draining"))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    room.wait(RECOVERY_S)
    assert leg.ended == (EndReason.SHUTDOWN, "the agent was shut down")


def test_a_call_whose_only_agent_shuts_down_is_there_when_it_has_started_again(room: Room) -> None:
    one = room.agent("one")
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    one.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN, detail="the agent was shut down"))
    one.lose()
    room.wait(RECOVERY_S - 0.5)
    assert leg.ended is None
    again = room.agent("again")
    assert again.offers[0].checkpoint == {"turn": 1}
    again.take()
    assert call.phase is Phase.LIVE


def test_a_call_that_agent_after_agent_gives_back_is_given_up(room: Room) -> None:
    agents = [room.agent(name) for name in ("a", "b", "c")]
    _, leg = room.call()
    moves = 0
    while leg.ended is None:
        holder = next(agent for agent in agents if agent.instance.calls)
        holder.take()
        holder.say(Hangup(call_id="call-1", reason=EndReason.SHUTDOWN))
        moves += 1
    assert moves == MAX_MOVES + 1
    assert leg.ended[0] is EndReason.SHUTDOWN


def test_the_limit_on_a_calls_length_goes_on_while_it_changes_agents(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    _, leg = room.call()
    one.take()
    room.wait(50)
    one.lose()
    two.take()
    room.wait(10.1)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.MAX_DURATION


def test_a_media_stream_that_closes_just_before_the_hangup_is_no_loss(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    call.agent.media_lost(one.take(), room.now)
    room.wait(MEDIA_GRACE_S / 2)
    one.hangup(EndReason.AGENT_HANGUP)
    assert leg.ended == (EndReason.AGENT_HANGUP, "")


def test_one_that_closes_without_a_hangup_is(room: Room) -> None:
    one, two = room.agent("one"), room.agent("two")
    call, leg = room.call()
    call.agent.media_lost(one.take(), room.now)
    room.wait(MEDIA_GRACE_S + 0.1)
    assert isinstance(one.last(), Ended)
    assert leg.ended is None
    assert len(two.offers) == 1


def test_an_agent_that_breaks_the_media_protocol_ends_its_call_with_error(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    call.agent.media_fault(one.take(), room.now, "too far ahead")
    assert leg.ended == (EndReason.ERROR, "media stream: too far ahead")
    assert isinstance(one.last(), Ended)


def test_the_newer_connection_of_an_instance_wins(room: Room) -> None:
    old = room.agent("one")
    _, leg = room.call()
    old.take()
    old.say(Checkpoint(call_id="call-1", state={"turn": 1}))
    new = room.agent("one")
    assert old.replaced
    assert new.offers[0].checkpoint == {"turn": 1}
    old.lose()
    new.take()
    assert leg.ended is None
    assert len(room.board.snapshot().instances) == 1


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
    assert len(room.board._deadlines) < 200
    room.wait(LIMITS.max_duration_s + 1)
    assert call.reason is EndReason.MAX_DURATION
    assert leg.ended is not None


# ---------------------------------------------------------------------- messages that cannot be read


def test_a_report_or_a_checkpoint_that_cannot_be_read_is_on_record_once_and_the_call_goes_on(
    room: Room,
) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    one.say(Checkpoint(call_id=call.call_id, state={"step": 1}))
    events: list[BusEvent] = []
    room.board.event_bus.subscribe(events.append)
    for kind in ("checkpoint", "event", "checkpoint"):
        room.board.unread(one.instance, UnreadMessage(call.call_id, kind, "it nests too deep"), room.now)
    assert leg.ended is None
    [event] = events
    assert isinstance(event, ConversationReported)
    assert (event.event, event.data["stage"]) == ("error", "agent")
    assert "(checkpoint) cannot be taken: it nests too deep" in event.data["message"]
    two = room.agent("two")
    room.board.lose(one.instance, room.now, "gone")
    assert two.offers[-1].checkpoint == {"step": 1}


def test_a_message_that_cannot_be_read_and_may_have_changed_something_ends_its_call_alone(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    _, other = room.call()
    one.take()
    room.board.unread(one.instance, UnreadMessage(call.call_id, "hangup", "reason: no such"), room.now)
    assert leg.ended is not None
    assert leg.ended[0] is EndReason.ERROR
    assert other.ended is None


def test_what_an_instance_says_of_another_s_call_changes_nothing(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    two = room.agent("two")
    room.board.unread(two.instance, UnreadMessage(call.call_id, "hangup", "reason: no such"), room.now)
    room.board.unread(two.instance, UnreadMessage("no-call", "hangup", "reason: no such"), room.now)
    assert leg.ended is None


def test_a_call_that_cannot_be_offered_ends_with_the_reason(room: Room) -> None:
    room.agent()
    call, leg = room.call()
    room.board.not_sent(UnreadMessage(call.call_id, "offer", "offer: it nests more than 150 deep"), room.now)
    assert leg.ended is not None
    assert leg.ended == (
        EndReason.ERROR,
        "it cannot be offered to an agent: offer: it nests more than 150 deep",
    )
