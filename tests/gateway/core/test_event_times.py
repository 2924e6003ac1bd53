"""The events of a call count from its answer, whichever instance tells of them."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.signaling.messages import Answer, ConversationEvent, Heartbeat, Move
from tests.support.switchboard import NotedAgent, Room


def said(agent: NotedAgent, at: float) -> None:
    agent.say(ConversationEvent(call_id="call-1", at=at, event="user_turn", data={"text": "hello"}))


@pytest.fixture
def times(room: Room) -> list[float]:
    times: list[float] = []

    def note(event: BusEvent) -> None:
        if isinstance(event, ConversationReported):
            times.append(event.at)

    room.board.event_bus.subscribe(note)
    return times


def test_an_instance_that_goes_on_after_a_loss_counts_on(room: Room, times: list[float]) -> None:
    one, two = room.agent("one"), room.agent("two")
    room.call()
    one.take()
    said(one, 0.5)
    room.wait(20)
    one.lose()
    media = two.open_media()
    two.accept()
    two.start_media(media)
    room.wait(0.1)
    said(two, 0.1)  # it is not ready yet, and counts from its accept
    room.wait(0.1)
    two.answer()
    room.wait(3)
    said(two, 3.0)
    assert times == pytest.approx([0.5, 20.1, 23.2], abs=0.05)


def test_an_instance_that_took_over_a_moved_call_counts_on(room: Room, times: list[float]) -> None:
    one = room.agent("one")
    one.say(Heartbeat())
    room.call()
    one.take()
    two = room.agent("two")
    room.wait(10)
    one.say(Move(call_id="call-1", heard_s=None))
    media = two.open_media()
    two.accept()
    two.start_media(media)
    two.say(Answer(call_id="call-1"))
    room.wait(2)
    said(two, 2.0)
    assert times == pytest.approx([12.0], abs=0.05)
