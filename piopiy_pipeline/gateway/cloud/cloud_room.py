"""`CloudRoom`: one room of LiveKit, with the bot in it: sound in pieces, keys, and who is there.

LiveKit's client is native code with threads of its own: it has the jitter buffer, the codecs and the connection, and
comes back by itself after a network that was lost. This is the shell around it, in a leg process. What the bot says is
paced by the gateway's frame clock; the client's own queue is short, so that little is in it that nobody has heard.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

import livekit.rtc as rtc
from livekit.rtc.participant import PublishDTMFError, PublishTrackError
from loguru import logger

from piopiy_pipeline.audio.frame import FRAME_MS
from piopiy_pipeline.compat import livekit as compat
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomError, CloudRoomListener

__all__ = ["CloudRoom", "rooms"]

QUEUE_MS = 60
"""What LiveKit's client may have of the bot's speech, in milliseconds: enough for a late timer of its own."""
WAITING_FRAMES = 50
"""Frames of 20 ms that may wait for it, a second as at other legs: a late frame clock sends several at once."""
CALLER_FRAMES = 100
"""Frames of 20 ms of the caller's that may wait for this process."""
LEAVE_S = 3.0
"""How long leaving a room may take, in seconds."""
SUBSCRIBED_S = 1.0
"""A server that does not say within so many seconds that the caller has subscribed to the bot's track never does."""
FINISH_S = 0.5
"""How long leaving waits for the last of the bot's speech, in seconds."""
_KEYS = "0123456789*#ABCD"  # a key's place is its code (RFC 4733 §3.2)
_NO_CALLERS = (rtc.ParticipantKind.PARTICIPANT_KIND_AGENT, rtc.ParticipantKind.PARTICIPANT_KIND_EGRESS)


rooms: weakref.WeakSet[rtc.Room] = weakref.WeakSet()
"""All rooms in this process. Tests check that none is left when no call is."""


class CloudRoom:
    """One room, a `RoomPort`.

    Args:
        listener: Told what happens.
        rate: The sample rate of both directions, in Hz.
        caller: The identity of the caller, where the bot was in the room before: nobody else is taken for them.
        on_token: Called with each access token that the server gives beside the first one.
    """

    def __init__(
        self,
        listener: CloudRoomListener,
        *,
        rate: int,
        caller: str | None = None,
        on_token: Callable[[str], None] = lambda token: None,
    ) -> None:
        self.dropped = 0
        """How many frames of the bot's were dropped, because the client did not take them in time."""
        self._listener = listener
        self._rate = rate
        self._room = rtc.Room()
        rooms.add(self._room)
        self._source: rtc.AudioSource | None = None
        self._caller = caller  # their identity
        self._known = caller is not None
        self._heard_of = False  # whether the caller's track was there
        self._heard = False  # whether somebody has subscribed to the bot's
        self._waits_for_server: asyncio.TimerHandle | None = None  # to say that the bot is heard
        self._waiting: deque[bytes] = deque()
        self._more = asyncio.Event()
        self._idle = asyncio.Event()  # nothing waits
        self._idle.set()
        self._pressing = (
            asyncio.Lock()
        )  # keys are sent one behind the other, in the order in which they were pressed
        self._tasks: set[asyncio.Task[None]] = set()
        self._joining: asyncio.Task[None] | None = None
        self._over = False
        on = self._room.on
        on("track_subscribed", self._on_track)
        on("local_track_subscribed", lambda track: self._on_heard())
        on("participant_connected", self._on_came)
        on("participant_disconnected", self._on_gone)
        on("disconnected", lambda reason: self._left(f"the room was closed: {_reason_name(reason)}"))
        on("reconnecting", lambda: logger.warning("the connection to the room is lost: trying again"))
        on("reconnected", lambda: logger.info("the connection to the room is back"))
        on("track_muted", self._on_muted)
        on("track_unmuted", self._on_muted)
        on("sip_dtmf_received", lambda keys: self._on_keys(keys.digit))
        on("data_received", lambda packet: self._on_data(packet))
        on("token_refreshed", lambda: on_token(compat.newest_token(self._room)))

    @property
    def identity(self) -> str:
        return str(self._room.local_participant.identity)

    @property
    def caller(self) -> str:
        """Who the caller is in the room; empty as long as nobody is."""
        return self._caller or ""

    async def join(self, url: str, token: str, timeout_s: float) -> None:
        # A connection that is being made cannot be called off: it is left when it has been made.
        self._joining = asyncio.create_task(self._join(url, token), name="join the room")
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.shield(self._joining)
        except TimeoutError:
            raise CloudRoomError(f"not joined within {timeout_s * 1000:.0f} ms") from None
        except (rtc.ConnectError, PublishTrackError) as error:
            raise CloudRoomError(error.message.strip(" -") or type(error).__name__) from None

    def send_audio(self, pcm: bytes) -> None:
        if len(self._waiting) >= WAITING_FRAMES:
            self.dropped += 1
            return
        self._waiting.append(pcm)
        self._idle.clear()
        self._more.set()

    def clear(self) -> None:
        self._waiting.clear()

    def press(self, digits: str) -> None:
        self._start(self._press(digits), "keys")

    async def finish_speech(self) -> None:
        if self._source is None or self._over:
            return
        try:
            async with asyncio.timeout(FINISH_S):
                await self._idle.wait()
                await self._source.wait_for_playout()
        except TimeoutError:
            logger.debug("the room did not take the last of the bot's speech in time")

    async def leave(self) -> None:
        if self._joining is not None:
            await asyncio.wait((self._joining,), timeout=LEAVE_S)
            self._joining.cancel()
            await asyncio.gather(self._joining, return_exceptions=True)
        self._over = True
        if self._waits_for_server is not None:
            self._waits_for_server.cancel()
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._room.disconnect()
                if self._source is not None:
                    await self._source.aclose()
        except TimeoutError:
            logger.warning("the room was not left within {:g} s", LEAVE_S)

    async def _join(self, url: str, token: str) -> None:
        await self._room.connect(url, token)
        if self._known and self._caller not in self._room.remote_participants:
            self._left("")  # while the bot was away
        for who in self._room.remote_participants.values():
            self._on_came(who)
        self._source = rtc.AudioSource(self._rate, 1, queue_size_ms=QUEUE_MS)
        track = rtc.LocalAudioTrack.create_audio_track("bot", self._source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False)
        await self._room.local_participant.publish_track(track, options)
        self._start(self._speak(self._source), "speech")

    async def _speak(self, source: rtc.AudioSource) -> None:
        while True:
            if not self._waiting:
                self._idle.set()
                self._more.clear()
                await self._more.wait()
            pcm = self._waiting.popleft() if self._waiting else b""
            if pcm:
                await source.capture_frame(rtc.AudioFrame(pcm, self._rate, 1, len(pcm) // 2))

    async def _press(self, digits: str) -> None:
        async with self._pressing:
            try:
                for digit in digits:
                    await self._room.local_participant.publish_dtmf(code=_KEYS.index(digit), digit=digit)
            except PublishDTMFError as error:
                logger.warning("keys were not sent to the caller: {}", error.message)

    # ------------------------------------------------------------------ what happens in the room

    def _on_came(self, who: rtc.RemoteParticipant) -> None:
        """Take the first who comes for the caller, who may leave before they were heard."""
        logger.debug("{} has come into the room", who.identity)
        if self._caller is None and who.kind not in _NO_CALLERS:
            self._caller = who.identity

    def _on_track(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, who: rtc.RemoteParticipant
    ) -> None:
        if self._over or track.kind != rtc.TrackKind.KIND_AUDIO or who.kind in _NO_CALLERS:
            return
        if (self._heard_of or self._known) and self._caller != who.identity:
            logger.info("{} is in the room, too: the bot hears {} alone", who.identity, self._caller)
            return
        first, self._heard_of, self._caller = not self._heard_of, True, who.identity
        self._start(self._hear(track), "caller")
        if first and self._heard:
            self._listener.room_caller()
        elif first:
            self._waits_for_server = asyncio.get_running_loop().call_later(SUBSCRIBED_S, self._on_heard)

    def _on_heard(self) -> None:
        """Note that the bot is heard, or that the server does not say so."""
        if self._waits_for_server is not None:
            self._waits_for_server.cancel()
        if not self._heard and not self._over:
            self._heard = True
            if self._heard_of:
                self._listener.room_caller()

    async def _hear(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(
            track, capacity=CALLER_FRAMES, sample_rate=self._rate, num_channels=1, frame_size_ms=FRAME_MS
        )
        try:
            async for event in stream:
                self._listener.room_audio(bytes(event.frame.data))
        finally:
            await stream.aclose()

    def _on_gone(self, who: rtc.RemoteParticipant) -> None:
        if who.identity == self._caller:
            self._left("")

    def _on_muted(self, who: rtc.Participant, publication: rtc.TrackPublication) -> None:
        if who.identity == self._caller:
            logger.info("the caller's track is {}", "muted" if publication.muted else "not muted any more")

    def _on_keys(self, digit: str) -> None:
        if digit in _KEYS:
            self._listener.room_keys(digit)

    def _on_data(self, packet: rtc.DataPacket) -> None:
        self._listener.room_message(packet.topic or "", packet.data)

    def _left(self, detail: str) -> None:
        if not self._over:
            self._over = True
            self._listener.room_left(detail)

    # ------------------------------------------------------------------ tasks

    def _start(self, what: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(what, name=f"room: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("{} failed", task.get_name())
            if not self._over:
                self._left(f"{task.get_name()} failed: {own_text(error)}")


def _reason_name(reason: rtc.DisconnectReason.ValueType) -> str:
    return str(rtc.DisconnectReason.Name(reason)).lower()
