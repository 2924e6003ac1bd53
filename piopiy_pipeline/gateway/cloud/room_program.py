"""The leg process that has rooms of Piopiy's cloud: ``python -m piopiy_pipeline.gateway.cloud.room_program``.

LiveKit's native library is in these processes alone. When it fails inside, or takes a process along at its end, the
gateway does not notice but by the rooms, which it joins again from another one.
"""

from __future__ import annotations

import base64
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from loguru import logger

from piopiy_pipeline.compat import livekit as compat
from piopiy_pipeline.gateway.cloud.cloud_room import CloudRoom, rooms
from piopiy_pipeline.gateway.cloud.room_messages import (
    CallerThere,
    ClearSpeech,
    FinishSpeech,
    FramesDropped,
    JoinRoom,
    LeaveRoom,
    PressKeys,
    RoomClosed,
    RoomJoined,
    RoomKeys,
    RoomLeft,
    RoomMessage,
    RoomRefused,
    RoomSettings,
    SpeechFinished,
    TokenRenewed,
    parse_to_rooms,
)
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError
from piopiy_pipeline.gateway.leg_processes.leg_frames import WireError
from piopiy_pipeline.gateway.leg_processes.leg_program import LegProgram, run_leg_process
from piopiy_pipeline.gateway.leg_processes.shared_messages import CensusTaken
from piopiy_pipeline.log import log_to_stderr
from piopiy_pipeline.signaling.messages import Message
from piopiy_pipeline.worker_process import leave_signals_to_parent

__all__ = ["RoomProgram", "RoomSession", "main"]

TELL_FRAMES = 50
"""The gateway is told of dropped frames when there are so many more, and at the end."""


class RoomSession:
    """One room of this process. It passes what happens there on to the gateway.

    Args:
        join: What to join.
        rate: The sample rate of both directions, in Hz.
        on_event: Called with each event for the gateway.
        on_caller_audio: Called with the caller's audio, PCM16 mono.
    """

    def __init__(
        self,
        join: JoinRoom,
        rate: int,
        *,
        on_event: Callable[[Message], None],
        on_caller_audio: Callable[[bytes], object],
    ) -> None:
        self.call_id = join.call_id
        self._join = join
        self._on_event = on_event
        self._on_caller_audio = on_caller_audio
        self._dropped = 0
        self._room = CloudRoom(
            self,
            rate=rate,
            caller=join.caller,
            on_token=lambda token: on_event(TokenRenewed(token=token)),
        )

    # ------------------------------------------------------------------ from the gateway

    async def join(self) -> None:
        try:
            await self._room.join(self._join.url, self._join.token, self._join.timeout_s)
        except CloudRoomError as error:
            self._on_event(RoomRefused(text=str(error)))
        except Exception:  # whatever the client raises: the gateway waits for an answer
            logger.exception("a room could not be joined")
            self._on_event(RoomRefused(text="internal error of the gateway: see its log"))
        else:
            self._on_event(RoomJoined(identity=self._room.identity))

    def send_audio(self, pcm: bytes) -> None:
        self._room.send_audio(pcm)
        if self._room.dropped >= self._dropped + TELL_FRAMES:
            self._tell_dropped()

    def clear(self) -> None:
        self._room.clear()

    def press(self, digits: str) -> None:
        self._room.press(digits)

    async def finish_speech(self) -> None:
        await self._room.finish_speech()
        self._on_event(SpeechFinished())

    async def leave(self) -> None:
        await self._room.leave()
        if self._room.dropped > self._dropped:
            self._tell_dropped()
        self._on_event(RoomClosed())

    def _tell_dropped(self) -> None:
        self._dropped = self._room.dropped
        self._on_event(FramesDropped(frames=self._dropped))

    # ------------------------------------------------------------------ CloudRoomListener

    def room_caller(self) -> None:
        self._on_event(CallerThere(identity=self._room.caller))

    def room_audio(self, pcm: bytes) -> None:
        self._on_caller_audio(pcm)

    def room_keys(self, digits: str) -> None:
        self._on_event(RoomKeys(digits=digits))

    def room_message(self, topic: str, data: bytes) -> None:
        self._on_event(RoomMessage(topic=topic, data=base64.b64encode(data)))

    def room_lost(self) -> None:
        """Do nothing: the gateway notices that this process is lost."""

    def room_left(self, detail: str) -> None:
        self._on_event(RoomLeft(detail=detail))

    def room_failed(self, detail: str) -> None:
        self._on_event(RoomLeft(detail=detail))


class RoomProgram(LegProgram):
    """The rooms of this process. Making it loads LiveKit's native library."""

    def __init__(self) -> None:
        super().__init__(parse_to_rooms)
        self._settings: RoomSettings | None = None
        self._sessions: dict[int, RoomSession] = {}
        compat.load()

    def close_legs(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [session.leave() for session in self._sessions.values()]

    def fail(self, number: int) -> None:
        if (session := self._sessions.get(number)) is not None:
            session.room_left("internal error of the gateway: see its log")

    def call_of(self, number: int) -> str:
        session = self._sessions.get(number)
        return "" if session is None else session.call_id

    def send_audio(self, number: int, pcm: bytes) -> None:
        if (session := self._sessions.get(number)) is not None:
            session.send_audio(pcm)

    def census(self) -> CensusTaken:
        return CensusTaken(legs=len(self._sessions), connections=len(rooms))

    def take(self, number: int, message: Message) -> None:
        if isinstance(message, RoomSettings):
            if self._settings is not None:
                raise WireError("configured twice")
            self._settings = message
        elif isinstance(message, JoinRoom):
            self._join(number, message)
        elif (session := self._sessions.get(number)) is not None:  # else it has been left meanwhile
            match message:
                case PressKeys(digits=digits):
                    session.press(digits)
                case ClearSpeech():
                    session.clear()
                case FinishSpeech():
                    self.spawn(session.finish_speech())
                case LeaveRoom():
                    self.spawn(self._leave(number, session))

    def _join(self, number: int, message: JoinRoom) -> None:
        if self._settings is None or number in self._sessions:
            raise WireError("a room before the settings, or twice")
        session = self._sessions[number] = RoomSession(
            message,
            self._settings.rate,
            on_event=partial(self.pipe.send_event, number),
            on_caller_audio=partial(self.pipe.send_audio, number),
        )
        self.spawn(session.join())

    async def _leave(self, number: int, session: RoomSession) -> None:
        try:
            await session.leave()
        finally:
            self._sessions.pop(number, None)


def main() -> None:
    """Run the process."""
    leave_signals_to_parent()
    log_to_stderr()
    # Its warnings are of calls that end and servers that are older; what matters the rooms tell themselves.
    logging.getLogger("livekit").setLevel(logging.ERROR)
    compat.end_at_panic()
    try:
        run_leg_process(RoomProgram)
    except ImportError as error:
        logger.critical("no calls of Piopiy's cloud: {}", error)
        sys.exit(1)
    os._exit(0)  # without taking the native library down: it has been seen to abort the process meanwhile


if __name__ == "__main__":
    main()
