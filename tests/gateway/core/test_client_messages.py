"""Messages of a client's application over a change of instances: each is acted on once, in its place, and none is lost.

What is tested is in `gateway/core/caller_backlog.py` and `gateway/core/held_messages.py`.
"""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.core.caller_backlog import MAX_KEYS
from piopiy_pipeline.gateway.core.held_messages import HeldMessages
from piopiy_pipeline.signaling.messages import Cancel, Checkpoint, Ended, Heartbeat, Move
from tests.support.switchboard import NotedAgent, NotedMedia, Room

FRAME = bytes(640)
"""20 ms at the rate of the leg, 16 kHz."""


class Scene:
    """A live call with `one`, and `two` that is free. What came since is in the notes of their media."""

    def __init__(self, room: Room) -> None:
        self.one = room.agent("one")
        self.one.say(Heartbeat())
        self.call, self.leg = room.call()
        self.before = self.one.take()
        self.two = room.agent("two")
        self.audio(10)

    def audio(self, frames: int = 1) -> None:
        for _ in range(frames):
            self.leg.listener.caller_audio(FRAME)

    def send(self, *names: str) -> None:
        for name in names:
            self.leg.listener.caller_data({"name": name})

    def move(self, heard_s: float | None = None) -> None:
        self.one.say(Move(call_id="call-1", heard_s=heard_s))


def set_up(agent: NotedAgent) -> NotedMedia:
    media = agent.open_media()
    agent.accept()
    agent.start_media(media)
    return media


def messages(media: NotedMedia) -> list[str]:
    return [note.split("'")[3] for note in media.notes if note.startswith("data")]


def in_order(media: NotedMedia) -> list[str]:
    """What came, with runs of audio as one."""
    kinds = [note.split("'")[3] if note.startswith("data") else note.split()[0] for note in media.notes]
    return [kind for at, kind in enumerate(kinds) if at == 0 or kind != "audio" or kinds[at - 1] != "audio"]


def test_what_comes_during_a_move_is_for_the_next_one_alone_in_its_place(room: Room) -> None:
    scene = Scene(room)
    scene.send("a")
    scene.audio()
    scene.move()
    media = set_up(scene.two)
    scene.send("b")
    scene.audio()
    scene.leg.listener.caller_dtmf("1")
    scene.send("c")
    assert messages(scene.before) == ["a"], "it does not act on what the next one has to act on"
    scene.two.answer()
    scene.send("d")
    assert messages(scene.before) == ["a"]
    assert in_order(media) == ["audio", "b", "audio", "dtmf", "c", "d"]


def test_if_the_call_stays_the_one_before_gets_it(room: Room) -> None:
    scene = Scene(room)
    scene.move()
    media = set_up(scene.two)
    scene.send("a", "b")
    scene.audio()
    scene.one.say(Checkpoint(call_id="call-1", state={"turn": 2}))
    scene.send("c")
    assert messages(scene.before) == ["a", "b", "c"]
    assert not media.notes


def test_so_it_does_with_nobody_left_to_ask(room: Room) -> None:
    scene = Scene(room)
    scene.move()
    scene.send("a")
    scene.two.reject()
    assert messages(scene.before) == ["a"]


def test_nobody_waits_long_for_the_answer_to_a_message(room: Room) -> None:
    scene = Scene(room)
    scene.move()
    set_up(scene.two)
    scene.send("a")
    scene.audio(round(HeldMessages.HELD_S / 0.02) - 1)
    assert messages(scene.before) == []
    scene.audio(2)
    scene.send("b")
    assert messages(scene.before) == ["a", "b"]
    assert isinstance(scene.two.last(), Ended), "the move was given up"


def test_nor_are_more_held_than_can_be_kept(room: Room) -> None:
    scene = Scene(room)
    scene.move()
    names = [f"{number}" for number in range(HeldMessages.MOST + 2)]
    scene.send(*names)
    assert messages(scene.before) == names
    assert isinstance(scene.two.last(), Cancel)


def test_an_agent_that_has_yet_to_read_a_message_keeps_the_call(room: Room) -> None:
    """It asks for the move before it has read it, and will act on it."""
    scene = Scene(room)
    scene.send("a")
    scene.audio(5)
    scene.move(heard_s=0.2)  # as far as it had come when the message was sent
    assert not scene.two.offers
    scene.move(heard_s=0.22)
    assert len(scene.two.offers) == 1


def test_a_muted_caller_who_sends_messages_does_not_keep_a_call_from_moving(room: Room) -> None:
    scene = Scene(room)
    scene.send("a")
    scene.call.control.switch("mute", True)
    scene.audio()
    scene.move(heard_s=0.2)
    assert len(scene.two.offers) == 1


def test_what_comes_while_nobody_has_the_call_waits_for_the_next_one(room: Room) -> None:
    scene = Scene(room)
    scene.send("a")
    scene.one.lose()
    scene.send("b")
    scene.audio()
    scene.send("c")
    media = scene.two.take()
    scene.send("d")
    assert messages(media) == ["b", "c", "d"], "the lost one may have acted on the first"


@pytest.mark.parametrize("silent", ["muted", "held", "in a text chat"])
def test_what_waits_comes_to_the_next_one_though_the_caller_says_nothing(room: Room, silent: str) -> None:
    scene = Scene(room)
    scene.one.lose()
    scene.two.lose()
    scene.audio()
    if silent == "in a text chat":
        scene.call.media_path.backlog.drop_waiting()
    else:
        scene.call.control.switch("mute" if silent == "muted" else "hold", True)
    scene.send("paid")
    scene.leg.listener.caller_dtmf("1")
    three = room.agent("three")
    media = set_up(three)
    three.answer()
    assert media.notes == ["data {'name': 'paid'}", "dtmf 1"]


def test_what_waits_is_bounded(room: Room) -> None:
    scene = Scene(room)
    scene.one.lose()
    scene.send(*(f"{number}" for number in range(MAX_KEYS + 5)))
    media = scene.two.take()
    scene.audio()
    assert messages(media) == [f"{number}" for number in range(MAX_KEYS)]


def test_a_move_whose_agent_is_lost_takes_its_messages_along(room: Room) -> None:
    scene = Scene(room)
    scene.move()
    media = set_up(scene.two)
    scene.send("a")
    scene.one.lose()
    scene.two.answer()
    scene.audio()
    assert messages(media) == ["a"]
    assert messages(scene.before) == []


def test_messages_before_the_answer_are_nobodys(room: Room) -> None:
    one = room.agent("one")
    _, leg = room.call()
    leg.listener.caller_data({"name": "a"})
    media = one.take()
    leg.listener.caller_audio(FRAME)
    assert messages(media) == []
