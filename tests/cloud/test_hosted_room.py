"""A room whose process is lost: joined again, in which order, for how long, and how often. In virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from piopiy_pipeline.gateway.cloud.hosted_room import LOSSES_S, MOST_LOSSES, RETURN_S, HostedRoom
from piopiy_pipeline.gateway.cloud.room_messages import (
    CallerThere,
    FramesDropped,
    JoinRoom,
    LeaveRoom,
    PressKeys,
    RoomClosed,
    RoomJoined,
    RoomKeys,
    RoomMessage,
    RoomRefused,
    TokenRenewed,
    parse_from_rooms,
)
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace, LegPool, NoPlace
from piopiy_pipeline.signaling.messages import Message, dump
from piopiy_pipeline.testing import run_virtual

Answer = Callable[[JoinRoom], Message | None]


class Place(LegPlace):
    """A place in a process that answers as a test says."""

    def __init__(self, number: int, answer: Answer) -> None:
        super().__init__(None, number)  # type: ignore[arg-type]
        self.answer = answer
        self.posted: list[Message] = []
        self.released = False

    def post(self, message: Message) -> None:
        self.posted.append(message)
        answer = self.answer(message) if isinstance(message, JoinRoom) else None
        if isinstance(message, LeaveRoom):
            answer = RoomClosed()
        if answer is not None:
            asyncio.get_running_loop().call_soon(self.tell, answer)

    def tell(self, event: Message) -> None:
        if self.leg is not None:
            self.leg.on_event(parse_from_rooms(dump(event).encode()))

    def die(self) -> None:
        self.release()
        assert self.leg is not None
        self.leg.process_lost()

    def release(self) -> None:
        self.released = True


class Pool(LegPool):
    """Gives places whose processes answer a request to join with the next of these; at the end, no places."""

    def __init__(self, *answers: Answer) -> None:
        self.given: list[Place] = []
        self._answers = list(answers)

    async def place(self, within_s: float) -> LegPlace:
        if len(self.given) == len(self._answers):
            await asyncio.sleep(within_s)
            raise NoPlace("none is left")
        self.given.append(Place(len(self.given) + 1, self._answers[len(self.given)]))
        return self.given[-1]


class Listener:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def room_caller(self) -> None:
        self.events.append("caller")

    def room_audio(self, pcm: bytes) -> None:
        self.events.append(pcm)

    def room_keys(self, digits: str) -> None:
        self.events.append(digits)

    def room_message(self, topic: str, data: bytes) -> None:
        self.events.append((topic, data))

    def room_lost(self) -> None:
        self.events.append("lost")

    def room_left(self, detail: str) -> None:
        self.events.append(("left", detail))

    def room_failed(self, detail: str) -> None:
        self.events.append(("failed", detail))


def joined(join: JoinRoom) -> Message:
    return RoomJoined(identity="bot")


def refused(join: JoinRoom) -> Message:
    return RoomRefused(text="no such room")


def silent(join: JoinRoom) -> None:
    return None


async def room_in(pool: Pool) -> tuple[HostedRoom, Listener]:
    listener = Listener()
    room = HostedRoom(listener, pool, "a-call")
    await room.join("ws://here", "token-1", 0.4)
    return room, listener


def test_a_room_is_joined_again_with_the_newest_token_and_for_the_same_caller() -> None:
    async def story() -> None:
        pool = Pool(joined, joined)
        room, listener = await room_in(pool)
        first = pool.given[0]
        first.tell(CallerThere(identity="ada"))
        first.tell(TokenRenewed(token="token-2"))
        first.tell(FramesDropped(frames=3))
        first.die()
        room.send_audio(b"\0\0")
        room.press("1")  # to nobody
        await asyncio.sleep(0.01)
        second = pool.given[1]
        second.tell(FramesDropped(frames=2))
        second.tell(CallerThere(identity="ada"))
        second.tell(RoomKeys(digits="5"))
        second.tell(RoomMessage(topic="t", data=b"AAE="))
        room.press("2")
        assert second.posted == [
            JoinRoom(call_id="a-call", url="ws://here", token="token-2", timeout_s=3.0, caller="ada"),
            PressKeys(digits="2"),
        ]
        assert listener.events == ["caller", "lost", "caller", "5", ("t", b"\0\1")]
        assert (room.dropped, room.identity) == (5, "bot")
        await room.leave()
        await room.leave()
        assert second.released
        second.tell(CallerThere(identity="ada"))
        assert len(listener.events) == 5, "nothing is told of a room that was left"

    run_virtual(story)


def test_frames_that_a_process_does_not_read_count_as_those_that_it_drops() -> None:
    async def story() -> None:
        pool = Pool(joined, joined)
        room, _ = await room_in(pool)
        pool.given[0].frames_dropped = 4
        pool.given[0].tell(FramesDropped(frames=3))
        assert room.dropped == 7
        pool.given[0].die()
        await asyncio.sleep(0.01)
        pool.given[1].frames_dropped = 1
        assert room.dropped == 8
        await room.leave()
        assert room.dropped == 8

    run_virtual(story)


def test_the_first_join_takes_another_process_when_one_is_lost_meanwhile() -> None:
    async def story() -> None:
        pool = Pool(silent, joined)
        joining = asyncio.create_task(room_in(pool))
        await asyncio.sleep(0.1)
        pool.given[0].die()
        room, listener = await joining
        assert listener.events == []
        await room.leave()

    run_virtual(story)


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([refused], "no such room"),
        ([silent], "not joined within 400 ms"),
        ([], "not joined within 400 ms|none is left"),
    ],
)
def test_a_room_that_cannot_be_joined_is_an_error_in_the_given_time(answers: list[Answer], says: str) -> None:
    async def story() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(CloudRoomError, match=says):
            await room_in(Pool(*answers))
        assert asyncio.get_running_loop().time() - began < 0.41

    run_virtual(story)


@pytest.mark.parametrize(
    ("answers", "cause"),
    [
        ([silent, refused], "no such room"),
        ([silent], "no answer within 8 s"),
        ([], "no process had a place within 8 s"),
    ],
)
def test_after_some_seconds_of_tries_a_room_is_given_up(answers: list[Answer], cause: str) -> None:
    async def story() -> None:
        pool = Pool(joined, *answers * 30)
        _, listener = await room_in(pool)
        pool.given[0].die()
        await asyncio.sleep(RETURN_S - 0.5)
        assert listener.events == ["lost"]
        await asyncio.sleep(0.7)
        why = f"the room's process was lost, and it was not joined again: {cause}"
        assert listener.events[1:] == [("failed", why)]
        assert all(place.released for place in pool.given)
        assert all(isinstance(place.posted[-1], LeaveRoom) for place in pool.given[1:])

    run_virtual(story)


def test_a_call_that_loses_one_process_after_the_other_is_their_culprit() -> None:
    async def story(pause_s: float) -> list[Any]:
        pool = Pool(*[joined] * (MOST_LOSSES + 1))
        room, listener = await room_in(pool)
        for number in range(MOST_LOSSES):
            pool.given[number].die()
            await asyncio.sleep(pause_s)
        await room.leave()
        return listener.events

    *losses, (end, why) = run_virtual(lambda: story(1.0))
    assert losses == ["lost"] * (MOST_LOSSES - 1)
    assert (end, why) == ("failed", "the room's process was lost 4 times within 60 s")
    assert run_virtual(lambda: story(LOSSES_S)) == ["lost"] * MOST_LOSSES


def test_a_call_that_ends_meanwhile_leaves_nothing_behind() -> None:
    async def story() -> None:
        pool = Pool(joined, silent)
        room, listener = await room_in(pool)
        pool.given[0].die()
        await asyncio.sleep(0.1)
        await room.leave()
        assert listener.events == ["lost"]
        assert pool.given[1].released
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run_virtual(story)
