"""A leg that fails: its own call ends, and whoever has other calls, such as the agent's connection, hears nothing."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import (
    Checkpoint,
    ConversationEvent,
    Hangup,
    Transfer,
)
from tests.support.agents import logged
from tests.support.switchboard import NotedLeg, Room


def fail(*_: Any, **__: Any) -> Any:
    raise ZeroDivisionError("a leg failed")


def break_leg(leg: NotedLeg, *methods: str) -> None:
    for method in methods:
        setattr(leg, method, fail)


MESSAGES = [
    ("conversation", ConversationEvent(call_id="call-1", at=1, event="user_turn", data={"text": "hi"})),
    ("transfer", Transfer(call_id="call-1", request_id="t", to="200", warm=True, ring_timeout_s=15)),
    ("refer", Transfer(call_id="call-1", request_id="t", to="200", warm=False, ring_timeout_s=15)),
]


@pytest.mark.parametrize(("method", "message"), MESSAGES)
def test_a_leg_that_fails_at_a_message_of_the_agent_ends_its_call_alone(
    room: Room, method: str, message: Any
) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    other, _ = room.call()
    one.take()
    break_leg(leg, method)
    one.say(message)
    assert leg.ended == (EndReason.ERROR, "internal error of the gateway")
    assert room.board.call(call.call_id) is None
    assert other.phase is Phase.LIVE
    assert not one.replaced


def test_a_checkpoint_that_cannot_be_kept_ends_its_call_alone(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    one.take()
    room.board.resources.on_checkpoint = fail
    one.say(Checkpoint(call_id="call-1", state={}))
    assert leg.ended is not None


def test_a_leg_that_fails_at_the_answer_ends_its_call(room: Room) -> None:
    one = room.agent()
    _, leg = room.call()
    break_leg(leg, "answer")
    one.take()
    assert leg.ended is not None


@pytest.mark.parametrize("what", ["clear", "dtmf", "data"])
def test_a_leg_that_fails_at_a_message_of_the_media_stream_ends_its_call(room: Room, what: str) -> None:
    one = room.agent()
    call, leg = room.call()
    media = one.take()
    break_leg(leg, what)
    if what == "clear":
        call.agent.bot_cleared(media)
    elif what == "dtmf":
        call.agent.bot_dtmf(media, "1")
    else:
        call.agent.bot_data(media, {})
    assert leg.ended is not None


def test_a_leg_that_fails_at_its_end_is_forgotten_with_its_call(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    media = one.take()
    break_leg(leg, "end")
    one.say(Hangup(call_id="call-1", reason=EndReason.AGENT_HANGUP))
    assert room.board.call(call.call_id) is None
    assert room.ended().reason is EndReason.AGENT_HANGUP
    assert media.closed


def test_what_fails_before_the_end_keeps_nothing_from_ending(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    call.media_path.stop_recording = fail  # type: ignore[method-assign]
    one.say(Hangup(call_id="call-1", reason=EndReason.AGENT_HANGUP))
    assert leg.ended == (EndReason.AGENT_HANGUP, "")
    assert one.instance.calls == set()


def test_a_leg_that_fails_while_its_agent_is_lost_keeps_no_call_from_moving(room: Room) -> None:
    one = room.agent()
    legs = []
    for number in (1, 2):
        _, leg = room.call()
        one.take()
        one.say(
            ConversationEvent(call_id=f"call-{number}", at=1, event="bot_partial", data={"text": "hello"})
        )
        break_leg(leg, "cut_off")
        legs.append(leg)
    two = room.agent("two")
    one.lose()
    assert [offer.call_id for offer in two.offers] == ["call-1", "call-2"]
    assert [leg.ended for leg in legs] == [None, None]


def test_a_call_that_fails_while_its_agent_is_lost_keeps_no_other_from_moving(room: Room) -> None:
    one = room.agent()
    first, leg = room.call()
    one.take()
    room.call()
    one.take()
    first.agent.instance_lost = fail  # type: ignore[method-assign]
    two = room.agent("two")
    one.lose()
    assert [offer.call_id for offer in two.offers] == ["call-2"]
    assert leg.ended is not None


def test_a_deadline_at_which_a_call_fails_ends_it(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    call.control.tick = fail  # type: ignore[method-assign]
    room.wait(61)
    assert leg.ended is not None


def test_a_leg_whose_line_cannot_be_measured_keeps_its_call_in_the_lists_and_lets_it_end(room: Room) -> None:
    one = room.agent()
    call, leg = room.call()
    one.take()
    break_leg(leg, "line_quality")
    with logged() as lines:
        assert [one.line for one in room.board.snapshot().calls] == [{}]
        one.say(Hangup(call_id="call-1", reason=EndReason.AGENT_HANGUP))
    assert len([line for _, line in lines if "could not be measured" in line]) == 1
    assert room.board.call(call.call_id) is None
    assert room.ended().line == {}
