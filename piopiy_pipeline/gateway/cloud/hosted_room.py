"""`HostedRoom`: the gateway's end of a room that is in a leg process, and in another one when that is lost.

The caller does not leave a room because the bot's connection to it breaks. So when a process dies, the room is joined
again from another one with the same access token, as the same participant, and the call goes on: for its leg the caller
hears nothing for that moment, and what the bot says waits.
"""

from __future__ import annotations

import asyncio
from collections import deque

from loguru import logger

from piopiy_pipeline.call import EndReason
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
    SpeechFinished,
    TokenRenewed,
)
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError, CloudRoomListener
from piopiy_pipeline.gateway.leg_processes.leg_pool import LegPlace, LegPool, NoPlace
from piopiy_pipeline.signaling.messages import Message

__all__ = ["HostedRoom"]

RETURN_S = 8.0
"""How long it may take until a room whose process was lost is joined again, in seconds."""
TRY_S, PAUSE_S = 3.0, 0.2
"""How long one try of those may take, and the pause before the next, in seconds."""
MOST_LOSSES, LOSSES_S = 4, 60.0
"""A call that loses so many processes within so many seconds is likely their culprit, not their victim, and ends."""
FINISH_S = 1.0
"""How long the last of the bot's speech may take, in seconds: the process has a shorter limit."""
CLOSED_S = 7.0
"""How long a process may take to leave a room, in seconds: it has a shorter limit for each step."""


class _ProcessLost(CloudRoomError):
    """The process died while it joined the room."""


class HostedRoom:
    """One room, a `RoomPort`.

    Args:
        listener: Told what happens.
        pool: The leg processes.
        call_id: The call's id, for logs.
    """

    def __init__(self, listener: CloudRoomListener, pool: LegPool, call_id: str) -> None:
        self.call_id = call_id
        self._listener = listener
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._place: LegPlace | None = None
        self._url = self._token = self._identity = ""
        self._caller: str | None = None
        self._dropped_before = 0  # of former places
        self._dropped_there = 0  # as the process tells of this one
        self._answer: asyncio.Future[str] | None = None  # to the request to join
        self._finished: asyncio.Future[None] | None = None
        self._closed: asyncio.Future[None] | None = None
        self._returning: asyncio.Task[None] | None = None
        self._losses: deque[float] = deque(maxlen=MOST_LOSSES - 1)
        self._over = False

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dropped(self) -> int:
        here = 0 if self._place is None else self._place.frames_dropped
        return self._dropped_before + self._dropped_there + here

    # ------------------------------------------------------------------ from the leg

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        self._url, self._token = url, token
        deadline = self._loop.time() + timeout_s
        while True:
            try:
                await self._join(deadline - self._loop.time())
            except _ProcessLost:
                continue  # in another one, for the rest of the time
            except TimeoutError:
                raise CloudRoomError(f"not joined within {timeout_s * 1000:.0f} ms") from None
            return

    def send_audio(self, pcm: bytes) -> None:
        if self._place is not None:
            self._place.send_audio(pcm)

    def clear(self) -> None:
        self._post(ClearSpeech())

    def press(self, digits: str) -> None:
        self._post(PressKeys(digits=digits))

    async def finish_speech(self) -> None:
        if self._place is None or self._over:
            return
        self._finished = self._loop.create_future()
        self._post(FinishSpeech())
        await asyncio.wait((self._finished,), timeout=FINISH_S)

    async def leave(self) -> None:
        self._over = True
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)
        if self._place is None:
            return
        self._closed = self._loop.create_future()
        self._post(LeaveRoom())
        await asyncio.wait((self._closed,), timeout=CLOSED_S)
        self._give_place_back()

    # ------------------------------------------------------------------ joining

    async def _join(self, timeout_s: float) -> None:
        """Join once, in whichever process has a place. Raises `CloudRoomError`, or `TimeoutError`."""
        async with asyncio.timeout(timeout_s):
            try:
                place = self._place = await self._pool.place(timeout_s)
            except NoPlace as error:
                raise CloudRoomError(str(error)) from None
            place.leg = self
            self._answer = self._loop.create_future()
            join = JoinRoom(
                call_id=self.call_id,
                url=self._url,
                token=self._token,
                timeout_s=timeout_s,
                caller=self._caller,
            )
            place.post(join)
            try:
                self._identity = await self._answer
            finally:
                self._answer = None
            if self._place is not place:
                raise _ProcessLost("its process was lost")

    async def _return(self) -> None:
        """Join again, in as many tries as there is time for."""
        deadline, refusal = self._loop.time() + RETURN_S, ""
        while True:
            try:
                await self._join(min(TRY_S, deadline - self._loop.time()))
            except (CloudRoomError, TimeoutError) as error:
                refusal = str(error) or refusal
                silent = "no process had a place" if self._place is None else "no answer"
                self._post(LeaveRoom())
                self._give_place_back()
                if self._loop.time() + PAUSE_S >= deadline:
                    why = refusal or f"{silent} within {RETURN_S:g} s"
                    self._fail(f"the room's process was lost, and it was not joined again: {why}")
                    return
                await asyncio.sleep(PAUSE_S)
            else:
                logger.info("the room is joined again, from another process")
                return

    def _post(self, message: Message) -> None:
        if self._place is not None:
            self._place.post(message)

    def _give_place_back(self) -> None:
        place = self._place
        self._forget_place()
        if place is not None:
            place.release()

    def _forget_place(self) -> None:
        self._dropped_before, self._dropped_there = self.dropped, 0
        self._place = None

    def _fail(self, detail: str) -> None:
        if not self._over:
            self._over = True
            self._listener.room_failed(detail)

    # ------------------------------------------------------------------ from the process

    def on_event(self, event: Message) -> None:
        """Handle an event of the room."""
        match event:
            case RoomJoined(identity=identity):
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(identity)
            case RoomRefused(text=text):
                if self._answer is not None and not self._answer.done():
                    self._answer.set_exception(CloudRoomError(text))
            case SpeechFinished():
                _settle(self._finished)
            case RoomClosed():
                _settle(self._closed)
            case FramesDropped(frames=frames):
                self._dropped_there = frames
            case TokenRenewed(token=token):
                self._token = token or self._token
            case _ if not self._over:
                self._tell(event)

    def _tell(self, event: Message) -> None:
        match event:
            case CallerThere(identity=identity):
                self._caller = identity or None
                self._listener.room_caller()
            case RoomKeys(digits=digits):
                self._listener.room_keys(digits)
            case RoomMessage(topic=topic, data=data):
                self._listener.room_message(topic, data)
            case RoomLeft(detail=detail):
                self._over = True
                self._listener.room_left(detail)

    def caller_audio(self, pcm: bytes) -> None:
        """Take what the caller said, PCM16 mono at the room's rate."""
        if not self._over:
            self._listener.room_audio(pcm)

    def process_lost(self) -> None:
        """Join the room again from another process, if it had been joined."""
        self._forget_place()
        _settle(self._finished)
        _settle(self._closed)
        if self._answer is not None:
            if not self._answer.done():
                self._answer.set_exception(_ProcessLost("its process was lost"))
            return
        if self._over or not self._identity:
            return
        now = self._loop.time()
        often = len(self._losses) == MOST_LOSSES - 1 and now - self._losses[0] < LOSSES_S
        self._losses.append(now)
        if often:
            self._fail(f"the room's process was lost {MOST_LOSSES} times within {LOSSES_S:g} s")
            return
        self._listener.room_lost()
        self._returning = asyncio.create_task(self._return(), name="join the room again")

    def fail(self, reason: EndReason, detail: str) -> None:
        """End the call, after an error of its own."""
        self._fail(detail)


def _settle(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
