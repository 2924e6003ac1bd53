"""The agent's end of a media stream: audio and events in both directions, whatever carries them.

A transport talks to a `MediaLink`. In production that is `WebSocketLink`, the agent's side of
``/media/{call_id}``; `testing` has others, within one process.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.compat.websockets import connect_here
from piopiy_pipeline.signaling.json_messages import ProtocolError, dump
from piopiy_pipeline.signaling.media_events import (
    FEATURES_HEADER,
    AgentMediaEvent,
    GatewayMediaEvent,
    MediaStart,
    parse_gateway_media,
    sends_calm_pieces,
    sends_pieces,
    takes_holds,
)
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["LinkListener", "MediaLink", "WebSocketLink"]

MAX_MEDIA_MESSAGE_BYTES = 64 * 1024
VAD_WINDOW_MS = 32
"""What the VAD scores at once, at either rate. Audio that makes no window whole need not wake the agent."""


class LinkListener(Protocol):
    """Receives what arrives on a media link. Its three methods run on the event loop and do not wait."""

    def on_audio(self, pcm: bytes) -> None:
        """Take the caller's audio: PCM16 little-endian mono at the link's `caller_rate`, of any length."""

    def on_event(self, event: GatewayMediaEvent) -> None:
        """Take an event: the playout has reported, or the caller has pressed keys or sent a message."""

    def on_lost(self) -> None:
        """Handle the loss of the stream. Nothing more arrives."""


class MediaLink(Protocol):
    """Carries one call's audio and media events. Sending never waits; the lead limits what is on its way."""

    caller_rate: int
    """Sample rate of the caller's audio in Hz."""
    bot_rate: int
    """Sample rate of the bot's speech in Hz."""
    can_hold: bool
    """Whether the other end takes `Hold` and `Resume`. An older gateway does not."""
    can_calm: bool
    """Whether the other end takes `CalmPieces`."""

    def attach(self, listener: LinkListener) -> None:
        """Call this listener from now on. What arrived before is delivered at once, in order."""

    def send_audio(self, pcm: bytes) -> None:
        """Send the bot's speech: PCM16 little-endian mono at `bot_rate`."""

    def send_event(self, event: AgentMediaEvent) -> None:
        """Send an event, in order with the audio."""

    async def close(self) -> None:
        """Close the stream. Takes a bounded time, and may be called twice."""


class WebSocketLink:
    """The agent's end of ``/media/{call_id}``, over a WebSocket."""

    EARLY_CHUNKS = 500
    """Audio kept before somebody listens: 10 s of 20 ms chunks, the gateway's own setup time."""
    EARLY_EVENTS = 256
    """Keys and messages kept before somebody listens."""

    def __init__(
        self,
        socket: DirectClientConnection,
        caller_rate: int,
        bot_rate: int,
        *,
        can_hold: bool,
        can_calm: bool = False,
    ) -> None:
        self.caller_rate = caller_rate
        self.bot_rate = bot_rate
        self.can_hold = can_hold
        self.can_calm = can_calm
        self._socket = socket
        self._listener: LinkListener | None = None
        self._early: deque[tuple[bool, Callable[[LinkListener], None]]] = deque()  # whether it is audio
        self._early_events = 0
        self._early_dropped = False
        self._lost = False
        self.heard_bytes = 0
        """How much of the caller's audio has arrived."""
        self.said_bytes = 0
        """How much of the bot's speech was sent."""
        self.dropped_bytes = 0
        """How much of it was not, because the gateway did not take it."""
        socket.listen(on_text=self._on_text, on_binary=self._on_binary, on_close=self._on_close)

    @classmethod
    async def open(
        cls,
        url: str,
        token: str,
        *,
        caller_rate: int,
        bot_rate: int,
        timeout_s: float,
        host: str | None = None,
    ) -> WebSocketLink:
        """Open the stream of one call and announce the rates.

        Args:
            url: The address of the stream, with ``ws://`` or ``wss://``.
            token: The media token of the call's offer.
            caller_rate: Sample rate at which the agent hears, 8000 or 16000 Hz.
            bot_rate: Sample rate at which the agent speaks, 8000, 16000 or 24000 Hz.
            timeout_s: How long opening may take, in seconds.
            host: The IP address to connect to; None for whatever the name in `url` leads to.

        Raises:
            OSError: The gateway is not there.
            TimeoutError: It did not answer in time.
            websockets.WebSocketException: It refused the token.
        """
        to_host: dict[str, Any] = {} if host is None else {"host": host}
        async with asyncio.timeout(timeout_s):
            socket = await connect_here(
                url,
                create_connection=DirectClientConnection,
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                proxy=None,
                max_size=MAX_MEDIA_MESSAGE_BYTES,
                open_timeout=None,  # the one above counts
                ping_interval=None,  # signaling has the heartbeat
                **to_host,
            )
        assert isinstance(socket, DirectClientConnection)
        features = None if socket.response is None else socket.response.headers.get(FEATURES_HEADER)
        abilities = {"can_hold": takes_holds(features), "can_calm": sends_calm_pieces(features)}
        link = cls(socket, caller_rate, bot_rate, **abilities)
        piece_ms = VAD_WINDOW_MS if sends_pieces(features) else None
        rates = {"caller_rate": caller_rate, "bot_rate": bot_rate}
        start = MediaStart.model_validate(rates | {"caller_piece_ms": piece_ms})
        link.send_event(start)
        return link

    def attach(self, listener: LinkListener) -> None:
        self._listener = listener
        early, self._early, self._early_events = self._early, deque(), 0
        for _, deliver in early:
            deliver(listener)

    def send_audio(self, pcm: bytes) -> None:
        if self._socket.post_binary(pcm):
            self.said_bytes += len(pcm)
        elif self._socket.is_open:  # else the call is over, or moves
            if not self.dropped_bytes:  # the rest is added up until the end: there may be ten a second
                logger.warning("the gateway does not take audio: what the bot says is dropped until it does")
            self.dropped_bytes += len(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        self._socket.post_text(dump(event))

    async def close(self) -> None:
        if self.dropped_bytes and not self._lost:
            dropped_s = self.dropped_bytes / (2 * self.bot_rate)
            logger.warning("the gateway has not taken {:.1f} s of the bot's speech in this call", dropped_s)
        self._lost = True
        self._listener = None
        self._early.clear()
        await self._socket.close()

    def _deliver(self, deliver: Callable[[LinkListener], None]) -> None:
        if self._listener is not None:
            deliver(self._listener)
        elif not self._lost:
            self._early.append((False, deliver))
            self._early_events += 1
            if self._early_events > self.EARLY_EVENTS:
                if not self._early_dropped:  # the others are as many as come
                    logger.error(
                        "nobody listens yet, and {} keys and messages wait: older ones are dropped",
                        self.EARLY_EVENTS,
                    )
                self._early_dropped = True
                self._drop_early(audio=False)
                self._early_events -= 1

    def _drop_early(self, *, audio: bool) -> None:
        """Drop the oldest piece of audio, or the oldest event, of what has come so far."""
        del self._early[next(i for i, (is_audio, _) in enumerate(self._early) if is_audio is audio)]

    def _on_binary(self, pcm: bytes) -> None:
        self.heard_bytes += len(pcm)
        if self._listener is not None:  # 50 times a second and call: no closure is made
            self._listener.on_audio(pcm)
        elif not self._lost:
            self._early.append((True, lambda listener: listener.on_audio(pcm)))
            if len(self._early) - self._early_events > self.EARLY_CHUNKS:
                self._drop_early(audio=True)

    def _on_text(self, text: bytes) -> None:
        try:
            event = parse_gateway_media(text)
        except ProtocolError as error:
            logger.error("the gateway sent a media event that fits no model: {}", error)
            return
        self._deliver(lambda listener: listener.on_event(event))

    def _on_close(self) -> None:
        self._deliver(lambda listener: listener.on_lost())
        self._lost = True
