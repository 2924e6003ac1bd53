"""A call that moves from an agent that drains to another one."""

from __future__ import annotations

from piopiy_pipeline.signaling.messages import (
    Checkpoint,
    Confirm,
    Heartbeat,
    Move,
    Status,
)
from tests.support.switchboard import NotedAgent, NotedMedia, Room

__all__ = ["FRAME_BYTES", "MovingCall", "set_up"]

FRAME_BYTES = 640
"""20 ms at the rate of the leg, 16 kHz."""


class MovingCall:
    """A call that is live with the agent `one`, which drains and has asked for its move."""

    def __init__(self, room: Room, *others: str) -> None:
        self.room = room
        self.one = room.agent("one")
        self.one.say(Heartbeat())
        self.call, self.leg = room.call()
        self.before = self.one.take()
        self.others = [room.agent(name) for name in others]
        self.pieces = 0
        self.say(10)
        self.one.say(Checkpoint(call_id="call-1", state={"turn": 1}))
        self.one.say(Status(active=1, capacity=4, state="draining"))

    def move(self, heard_s: float | None = None) -> None:
        self.one.say(Move(call_id="call-1", heard_s=heard_s))

    def say(self, frames: int = 1) -> None:
        """Have the caller say so many frames, each another one."""
        for _ in range(frames):
            self.pieces += 1
            self.call.caller_audio(bytes([self.pieces]) * FRAME_BYTES)

    def frames(self, first: int, last: int) -> bytes:
        return b"".join(bytes([number]) * FRAME_BYTES for number in range(first, last + 1))

    @property
    def holder(self) -> str | None:
        return self.room.board.snapshot().calls[0].instance_id


def set_up(agent: NotedAgent) -> NotedMedia:
    """Accept the offer, and do everything but answer."""
    media = agent.open_media()
    agent.accept()
    assert isinstance(agent.last(), Confirm)
    agent.start_media(media)
    return media
