"""The messages between the gateway and a leg process that has rooms of Piopiy's cloud. No I/O."""

from __future__ import annotations

from typing import Literal

from pydantic import Base64Bytes, Field

from piopiy_pipeline.gateway.leg_processes.shared_messages import (
    Census,
    CensusTaken,
    OfCall,
    ProcessPing,
    ProcessPong,
    Ready,
    message_parser,
)
from piopiy_pipeline.signaling.messages import Message

__all__ = [
    "CallerThere",
    "ClearSpeech",
    "FinishSpeech",
    "FramesDropped",
    "JoinRoom",
    "LeaveRoom",
    "PressKeys",
    "RoomClosed",
    "RoomJoined",
    "RoomKeys",
    "RoomLeft",
    "RoomMessage",
    "RoomRefused",
    "RoomSettings",
    "SpeechFinished",
    "TokenRenewed",
    "parse_from_rooms",
    "parse_to_rooms",
]


# ------------------------------------------------------------------ gateway -> leg process


class RoomSettings(Message):
    """The first message. `rate` is the sample rate of audio frames in Hz."""

    event: Literal["settings"] = "settings"
    rate: int


class JoinRoom(OfCall):
    """Join the room at `url`, within `timeout_s`. The answer is `RoomJoined` or `RoomRefused`.

    With `caller` the bot was there before, and that is whom it talks to.
    """

    event: Literal["join"] = "join"
    url: str
    token: str = Field(repr=False)
    timeout_s: float
    caller: str | None = None


class PressKeys(Message):
    """Press telephone keys towards the caller."""

    event: Literal["press"] = "press"
    digits: str


class ClearSpeech(Message):
    """Drop what waits of the bot's speech."""

    event: Literal["clear"] = "clear"


class FinishSpeech(Message):
    """Say when the last of the bot's speech has left, by `SpeechFinished`."""

    event: Literal["finish"] = "finish"


class LeaveRoom(Message):
    """Leave the room. The answer is `RoomClosed`."""

    event: Literal["leave"] = "leave"


# ------------------------------------------------------------------ leg process -> gateway


class RoomJoined(Message):
    """The room is joined, and the bot's track is published. `identity` is the bot's."""

    event: Literal["joined"] = "joined"
    identity: str


class RoomRefused(Message):
    """The room cannot be joined: a sentence."""

    event: Literal["refused"] = "refused"
    text: str


class CallerThere(Message):
    """The caller is there, under this identity."""

    event: Literal["caller"] = "caller"
    identity: str


class RoomKeys(Message):
    """The caller has pressed telephone keys."""

    event: Literal["keys"] = "keys"
    digits: str


class RoomMessage(Message):
    """The cloud has sent a message into the room."""

    event: Literal["message"] = "message"
    topic: str
    data: Base64Bytes


class RoomLeft(Message):
    """The caller has left, or the room is gone. `detail` is a sentence, or empty when the caller hung up."""

    event: Literal["left"] = "left"
    detail: str


class RoomClosed(Message):
    """The bot has left the room: the last message."""

    event: Literal["closed"] = "closed"


class SpeechFinished(Message):
    """The last of the bot's speech has left, or did not in time."""

    event: Literal["finished"] = "finished"


class FramesDropped(Message):
    """How many frames of the bot's speech were dropped so far, because LiveKit's client did not take them in time."""

    event: Literal["dropped"] = "dropped"
    frames: int


class TokenRenewed(Message):
    """The server has given another access token, which is valid for longer."""

    event: Literal["token"] = "token"
    token: str = Field(repr=False)


parse_to_rooms = message_parser(
    "to a leg process",
    RoomSettings,
    JoinRoom,
    PressKeys,
    ClearSpeech,
    FinishSpeech,
    LeaveRoom,
    Census,
    ProcessPing,
)
"""Reads the body of an event for a leg process of rooms. Raises `WireError`."""
parse_from_rooms = message_parser(
    "of a leg process",
    Ready,
    ProcessPong,
    RoomJoined,
    RoomRefused,
    CallerThere,
    RoomKeys,
    RoomMessage,
    RoomLeft,
    RoomClosed,
    SpeechFinished,
    FramesDropped,
    TokenRenewed,
    CensusTaken,
)
"""Reads the body of an event from a leg process of rooms. Raises `WireError`."""
