"""The media stream between the gateway and an agent for one call: the bot's speech in, and the caller's out.

A thin shell between a socket, a `Playout` and the agent's side of a call. The stream's token was checked
before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

from loguru import logger
from websockets.frames import CloseCode

from piopiy_pipeline.audio.frame import frame_bytes
from piopiy_pipeline.audio.playout import Playout, PlayoutError, Progress, Tick
from piopiy_pipeline.audio.quiet_line import QuietLine
from piopiy_pipeline.audio.resample import Resampler, resampler_between
from piopiy_pipeline.gateway.agents.outgoing_audio import OutgoingAudio
from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    CalmPieces,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    Held,
    Hold,
    MediaStart,
    MediaStop,
    Message,
    Played,
    ProtocolError,
    Resume,
    dump,
    parse_agent_media,
)
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["MAX_MEDIA_BYTES", "AgentMedia", "MediaListener"]

MAX_MEDIA_BYTES = 64 << 10
"""The largest message on a media stream, audio or event."""
EVENTS_PER_S = 100
"""What an agent may send, messages to the caller's application left out; more is a fault."""
MESSAGES_PER_S = 100
"""Messages to the caller's application. They have a limit of their own, so that they never keep out a clear."""
FLOOD_PER_S = 500
"""Events of all kinds together; more is a fault."""
BACKLOG_S = 5.0
"""Seconds of the caller's audio that may wait for a busy agent. If more waits, the oldest is dropped."""
_MOST_BYTES = 3200
"""The largest message with the caller's audio: 0.1 s at 16 kHz, which is also what is dropped at once. Where the agent
wants whole pieces, it has as many of them as there are in that, one at least."""
_IN_SOCKET_BYTES = 64 << 10
"""If more bytes than this wait in the socket, audio waits here, where it can be dropped."""


class MediaListener(Protocol):
    """Receives what a media stream reports. `now` is the event loop's time in seconds."""

    def media_started(self, media: AgentMedia, now: float) -> None:
        """Handle that the agent has said its sample rates: audio can flow."""

    def media_lost(self, media: AgentMedia, now: float) -> None:
        """Handle that the connection of the stream is lost."""

    def media_fault(self, media: AgentMedia, now: float, detail: str) -> None:
        """Handle that the agent broke the protocol; the stream closes."""

    def bot_cleared(self, media: AgentMedia) -> None:
        """Handle that the bot was interrupted: the part of its speech that nobody has heard yet was dropped."""

    def bot_dtmf(self, media: AgentMedia, digits: str) -> None:
        """Take telephone keys that the bot presses."""

    def bot_data(self, media: AgentMedia, data: dict[str, Any]) -> None:
        """Take a message of the bot to the caller's application."""


class AgentMedia:
    """One connection on ``/media/{call_id}``, which is the `MediaPort` of a call.

    Args:
        connection: The WebSocket.
        listener: The agent's side of the call.
        call_id: The call's id, for logs.
        leg_rate: The sample rate of the caller's leg in Hz.
        outgoing: Sends the caller's audio at each half tick, together with that of all calls.
    """

    def __init__(
        self,
        connection: DirectServerConnection,
        listener: MediaListener,
        *,
        call_id: str,
        leg_rate: int,
        outgoing: OutgoingAudio,
    ) -> None:
        self._connection = connection
        self._listener = listener
        self._outgoing = outgoing
        self._leg_rate = leg_rate
        self._log = logger.bind(call_id=call_id)
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._events = TokenBucket(EVENTS_PER_S, now)
        self._messages = TokenBucket(MESSAGES_PER_S, now)
        self._flood = TokenBucket(FLOOD_PER_S, now)
        self._warned_of_messages = False
        self._playout: Playout | None = None
        self._to_leg: Resampler | None = None
        self._to_agent: Resampler | None = None
        self._waiting = bytearray()  # for the half tick
        self._taken_bytes = 0  # of what the agent hears
        self._piece_bytes = 0  # of which it wants whole ones; 0: it takes what comes
        self._padded = (
            False  # with the silence that makes its pieces whole together with those of other calls
        )
        self._most_bytes = _MOST_BYTES
        self._line: QuietLine | None = None  # where longer pieces are wanted while it is quiet
        self._calm_ms = 0
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._caller_rate = leg_rate
        self._closed = False
        self._dropped_bytes = 0
        self.sent_bytes = 0
        self.received_bytes = 0
        connection.binary_limit_bytes = _IN_SOCKET_BYTES
        connection.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    # ------------------------------------------------------------------ the call's side

    @property
    def started(self) -> bool:
        return self._playout is not None

    @property
    def gaps(self) -> int:
        return self._playout.gaps if self._playout else 0

    @property
    def worst_gap_s(self) -> float:
        return self._playout.worst_gap_s if self._playout else 0.0

    @property
    def caller_dropped_s(self) -> float:
        return self._dropped_bytes / 2 / self._caller_rate

    def due_audio(self, now: float) -> Tick:
        if self._playout is None:
            return Tick()
        tick = self._playout.tick(now)
        if self._to_leg is None:
            return tick
        frames = [self._to_leg.process(frame) for frame in tick.frames]
        if tick.progress and tick.progress[-1].dry:
            frames.append(self._to_leg.flush().ljust(frame_bytes(self._leg_rate), b"\0"))
        return Tick(tuple(frames), tick.progress)

    def report_progress(self, progress: Sequence[Progress]) -> None:
        for heard in progress:
            self._post(Played(epoch=heard.epoch, position=heard.position, dry=heard.dry))

    def pause(self) -> None:
        """Pause the speech that waits, because the caller is on hold. It goes on at the next `due_audio`."""
        if self._playout is not None:
            self._playout.pause()

    def caller_audio(self, pcm: bytes) -> None:
        if self._playout is None or self._closed:
            return
        if self._to_agent is not None:
            pcm = self._to_agent.process(pcm)
        if pcm:
            if self._line is not None:
                self._line.hear(pcm)
            self._waiting += pcm
            self._outgoing.add(self)

    def send_waiting(self) -> None:
        """Send what the caller has said since the last half tick, in whole pieces if the agent wants such."""
        size = len(self._waiting)
        piece = self._piece_bytes
        if piece:
            if size and not self._padded:
                self._padded = True
                frame = frame_bytes(self._caller_rate)
                self._waiting[:0] = bytes(
                    self._outgoing.padding_bytes(size, frame_bytes=frame, piece_bytes=piece)
                )
                size = len(self._waiting)
            size -= (self._taken_bytes + size) % piece
            if (
                self._line is not None
                and self._line.quiet
                and not self._outgoing.is_common_tick(self._calm_ms)
            ):
                self._outgoing.add(self)  # there may be no more audio to remind of it
                return
        self._send_first(size)

    def _send_first(self, size: int) -> None:
        """Send so many bytes of what waits."""
        if size <= 0 or self._closed:
            return
        pcm = bytes(self._waiting[:size])
        del self._waiting[:size]
        at = 0
        while at < size:  # more than once, if what was kept while nobody had the call comes at once
            end = at + self._most_bytes - self._taken_bytes % (self._piece_bytes or 1)
            self._send(pcm[at:end])
            self._taken_bytes += min(end, size) - at
            at = end

    def _send(self, pcm: bytes) -> None:
        if not self._backlog and self._connection.post_binary(pcm):
            self.sent_bytes += len(pcm)
            return
        self._backlog.append(pcm)
        self._backlog_bytes += len(pcm)
        while self._backlog and self._connection.post_binary(self._backlog[0]):
            posted = len(self._backlog.popleft())
            self._backlog_bytes -= posted
            self.sent_bytes += posted
        while self._backlog_bytes > BACKLOG_S * self._caller_rate * 2:
            dropped = len(self._backlog.popleft())
            self._backlog_bytes -= dropped
            self._dropped_bytes += dropped

    def dtmf(self, digits: str) -> None:
        self._send_first(len(self._waiting))  # keys stay behind what was said before them
        self._post(Dtmf(digits=digits))

    def data(self, data: dict[str, Any]) -> None:
        if self._line is not None:  # by what an agent has heard it is known whether it has read this
            self._send_first(len(self._waiting))
        self._post(DataMessage(data=data))

    def close(self) -> None:
        if not self._closed:
            self._send_first(len(self._waiting))
            self._post(MediaStop())
            self._stop(CloseCode.NORMAL_CLOSURE, "the call left this agent")
        if self._playout is not None:
            self._playout.forget()
        self._to_leg = self._to_agent = None

    # ------------------------------------------------------------------ the socket's side

    def _on_binary(self, pcm: bytes) -> None:
        self.received_bytes += len(pcm)
        if self._playout is None:
            self._fault("audio before start: send start first")
        elif len(pcm) > MAX_MEDIA_BYTES:
            self._fault(f"a message of {len(pcm)} bytes: {MAX_MEDIA_BYTES} are the limit")
        else:
            try:
                self._playout.write(pcm)
            except PlayoutError as error:
                self._fault(str(error))

    def _on_text(self, text: bytes) -> None:
        if len(text) > MAX_MEDIA_BYTES:
            self._fault(f"an event of {len(text)} bytes: {MAX_MEDIA_BYTES} are the limit")
            return
        if not self._flood.take(self._loop.time()):
            self._fault(f"more than {FLOOD_PER_S} events a second")
            return
        try:
            self._on_event(parse_agent_media(text))
        except (ProtocolError, PlayoutError) as error:
            self._fault(str(error))

    def _on_event(self, event: AgentMediaEvent) -> None:
        if self._playout is None and not isinstance(event, MediaStart):
            raise ProtocolError(f"{event.event} before start: send start first")
        if isinstance(event, DataMessage):
            self._pass_on(event.data)
            return
        if not self._events.take(self._loop.time()):
            raise ProtocolError(f"more than {EVENTS_PER_S} events a second")
        match event:
            case MediaStart():
                self._start(event)
            case CalmPieces(ms=ms):
                self._calm_ms = ms
                self._line = QuietLine(self._caller_rate) if ms and self._piece_bytes else None
                self._most_bytes = max(self._most_bytes, 2 * self._caller_rate * ms // 1000)
            case Clear(epoch=epoch) if self._playout is not None:
                position = self._playout.clear(epoch)
                if self._to_leg is not None:
                    self._to_leg.reset()
                self._listener.bot_cleared(self)
                self._post(Cleared(epoch=epoch, position=position))
            case Hold(epoch=epoch) if self._playout is not None:
                position = self._playout.hold(epoch, self._loop.time())
                self._post(Held(epoch=epoch, position=position))
            case Resume(position=at) if self._playout is not None:
                self._playout.resume(at)
            case Dtmf(digits=digits):
                self._listener.bot_dtmf(self, digits)
            case _:  # stop: what was sent still plays, and the close or the hangup follows
                pass

    def _pass_on(self, data: dict[str, Any]) -> None:
        if self._messages.take(self._loop.time()):
            self._listener.bot_data(self, data)
        elif not self._warned_of_messages:
            self._warned_of_messages = True
            self._log.warning(
                "more than {} messages a second to a caller: the rest is left out", MESSAGES_PER_S
            )

    def _start(self, start: MediaStart) -> None:
        if self._playout is not None:
            raise ProtocolError("start: this stream has started already")
        self._playout = Playout(rate=start.bot_rate, played_every_ms=start.played_every_ms)
        self._to_leg = resampler_between(start.bot_rate, self._leg_rate)
        self._to_agent = resampler_between(self._leg_rate, start.caller_rate)
        self._caller_rate = start.caller_rate
        self._piece_bytes = frame_bytes(start.caller_rate) * (start.caller_piece_ms or 0) // 20
        if self._piece_bytes:
            self._most_bytes = max(1, _MOST_BYTES // self._piece_bytes) * self._piece_bytes
        self._listener.media_started(self, self._loop.time())

    def _fault(self, detail: str) -> None:
        if not self._closed:
            self._stop(CloseCode.POLICY_VIOLATION, detail)
            self._listener.media_fault(self, self._loop.time(), detail)

    def _stop(self, code: CloseCode, why: str) -> None:
        self._closed = True
        self._outgoing.discard(self)
        self._waiting.clear()
        self._backlog.clear()
        self._backlog_bytes = 0
        self._connection.finish(code, why)

    def _on_close(self) -> None:
        if not self._closed:
            self._closed = True
            self._outgoing.discard(self)
            self._listener.media_lost(self, self._loop.time())

    def _post(self, message: Message) -> None:
        if not self._closed:
            self._connection.post_text(dump(message))
