"""The events of a call count from its answer, whichever instance tells of them."""

from __future__ import annotations

from typing import Any

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


@pytest.fixture
def bot_turns(room: Room) -> list[tuple[float, dict[str, Any]]]:
    turns: list[tuple[float, dict[str, Any]]] = []

    def note(event: BusEvent) -> None:
        if isinstance(event, ConversationReported) and event.event == "bot_turn":
            turns.append((event.at, event.data))

    room.board.event_bus.subscribe(note)
    return turns


def speaks(agent: NotedAgent, at: float, text: str, *, over: bool = False) -> None:
    data = {"text": text, "interrupted": False} if over else {"text": text}
    event: Any = "bot_turn" if over else "bot_partial"
    agent.say(ConversationEvent(call_id="call-1", at=at, event=event, data=data))


def take_over(room: Room, agent: NotedAgent) -> None:
    media = agent.open_media()
    agent.accept()
    agent.start_media(media)
    agent.answer()
    room.wait(1)


def test_what_was_heard_of_a_turn_whose_agent_is_lost_is_on_the_record_once(
    room: Room, bot_turns: list[tuple[float, dict[str, Any]]]
) -> None:
    one, two, three = room.agent("one"), room.agent("two"), room.agent("three")
    room.call()
    one.take()
    speaks(one, 1.0, "Good day.", over=True)
    speaks(one, 2.0, "We are")
    speaks(one, 2.2, "We are open from")
    room.wait(5)
    one.lose()
    take_over(room, two)
    two.lose()  # before it has said a word: the third gets the same words, and the record has them
    take_over(room, three)
    assert [data for _, data in bot_turns] == [
        {"text": "Good day.", "interrupted": False},
        {"text": "We are open from", "interrupted": True},
    ]
    assert bot_turns[1][0] == pytest.approx(5, abs=0.1)
    speaks(three, 1.0, "Tuesday", over=False)
    three.lose()
    assert bot_turns[-1][1] == {"text": "Tuesday", "interrupted": True}
    assert len(bot_turns) == 3
