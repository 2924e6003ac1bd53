"""Messages of an agent that cannot be read, and a call that cannot be offered: what becomes of the call."""

from __future__ import annotations

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.signaling.messages import Checkpoint
from piopiy_pipeline.signaling.unread_messages import UnreadMessage
from tests.support.switchboard import Room


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
