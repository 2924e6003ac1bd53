"""One caller's session in a leg process: its current peer connection, its deadlines, and what its messages mean.

A browser that lost its network may come again with a fresh connection for the same call. Pipecat's clients do
this, and an ICE restart is treated as the same. The session stays and gets another peer. A session ends when
nothing was heard from the browser for the grace period, or when its peer did not connect in time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from loguru import logger

from piopiy_pipeline.gateway.access.strict_json import read_json
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.peer import Peer, PeerEvents, PeerRefused
from piopiy_pipeline.gateway.webrtc.peer_messages import (
    BrowserSent,
    Configure,
    Connected,
    PeerClosed,
    QualityMeasured,
    Trickled,
)
from piopiy_pipeline.signaling.messages import Message, dump
from piopiy_pipeline.token_bucket import TokenBucket

__all__ = ["PeerSession"]

TICK_S = 0.5
MEASURE_S = 2.0
MESSAGE_BYTES = 48 << 10
"""The longest message of a browser. An agent takes as much, with room for what is wrapped around it."""
MESSAGES_PER_S = 50
WRAPPINGS = 8
"""A message is passed on inside of other messages. So many levels of JSON nesting are left for those."""
MAX_DIGITS = 64
_KEYS = frozenset("0123456789*#ABCDabcd")
_PEER_LEFT = json.dumps({"type": "signalling", "message": {"type": "peerLeft"}})


class PeerSession:
    """The session of one caller, from the first offer to the end of its call."""

    def __init__(
        self,
        settings: Configure,
        *,
        call_id: str,
        on_event: Callable[[Message], None],
        on_caller_audio: Callable[[bytes], object],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        on_closed: Callable[[], object],
    ) -> None:
        """Args:
        settings: The settings of the leg process.
        call_id: The call's id, for logs.
        on_event: Called with each event for the gateway.
        on_caller_audio: Called with the caller's audio: PCM16 mono at the rate of the settings.
        spawn: Runs a coroutine as a task of the process.
        on_closed: Called once, when the session is over.
        """
        self.call_id = call_id
        self._settings = settings
        self._on_event = on_event
        self._on_caller_audio = on_caller_audio
        self._spawn = spawn
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._rate = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._negotiation = asyncio.Lock()
        self._peer: Peer | None = None
        self._deadline = self._loop.time() + settings.connect_s
        self._been_connected = False
        self._measured_at = 0.0
        self._closed = False
        self._timer = self._loop.call_later(TICK_S, self._tick)

    # ------------------------------------------------------------------ from the gateway

    async def negotiate(self, sdp: str, *, restart: bool) -> str:
        """Answer an offer, with the current peer or with a fresh one.

        Args:
            sdp: The browser's offer.
            restart: Whether the browser made a fresh RTCPeerConnection.

        Returns:
            The SDP of the answer.

        Raises:
            PeerRefused: The offer cannot be answered.
        """
        async with self._negotiation:
            peer = self._peer
            if peer is not None and not restart and not peer.restarts_ice(sdp):
                answer = await peer.answer(sdp)
                self._spawn(peer.look_up_names())
                return answer
            fresh = self._make_peer()
            try:
                answer = await fresh.answer(sdp)
            except BaseException:  # nothing else refers to it yet, so it is closed here
                await fresh.close()
                raise
            if self._closed:
                await fresh.close()
                raise PeerRefused(409, "the call ended meanwhile")
            self._peer = fresh
            self._deadline = self._loop.time() + self._settings.connect_s
            self._spawn(fresh.look_up_names())
            if peer is not None:
                self._spawn(peer.close())
            return answer

    async def add_candidates(self, candidates: list[Trickled]) -> None:
        """Add ICE candidates to the current peer. One that cannot be used is skipped and logged."""
        peer = self._peer
        if peer is not None:
            # At once: a name that cannot be looked up takes a second, and must not hold up an address behind it.
            added = await asyncio.gather(
                *(peer.add_candidate(one) for one in candidates), return_exceptions=True
            )
            for error in added:
                if isinstance(error, PeerRefused):
                    logger.warning("{}", error.text)
                elif error is not None:
                    raise error

    def send_message(self, text: str) -> None:
        """Send a message to the browser's application."""
        if self._peer is not None:
            self._peer.send_message(text)

    def fail(self) -> None:
        """End this call, and no other, after an error of the leg process."""
        self._end("internal error of the gateway: see its log")

    def send_audio(self, pcm: bytes) -> None:
        """Send 20 ms of PCM16 mono to the browser, to be played at once."""
        if self._peer is not None:
            self._peer.audio.send_audio(pcm)

    async def close(self, *, notify: bool = False) -> None:
        """Close the peer in bounded time. May be called more than once.

        Args:
            notify: Send the browser a message that its peer left.
        """
        self._give_up("")
        peer, self._peer = self._peer, None
        if peer is None:
            return
        if notify:
            peer.send_message(_PEER_LEFT)
            await asyncio.sleep(0)  # SCTP sends on the next turn of the loop
        await peer.close()

    # ------------------------------------------------------------------ from the browser

    def _make_peer(self) -> Peer:
        def while_current(handler: Callable[[], None]) -> Callable[[], None]:
            """Ignore what a peer says after another has replaced it."""
            return lambda: handler() if self._peer is peer else None

        peer = Peer(
            ice_servers=self._settings.ice_servers,
            rate=self._settings.rate,
            public=IceAddresses.parse(self._settings.addresses).public,
            events=PeerEvents(
                connected=while_current(self._connected),
                caller_audio=self._on_caller_audio,
                message=self._message,
                failed=while_current(self._failed),
                closed=while_current(self._browser_closed),
            ),
        )
        return peer

    def _connected(self) -> None:
        if not self._been_connected and not self._closed:
            self._been_connected = True
            self._on_event(Connected())

    def _failed(self) -> None:
        if not self._been_connected:
            self._end("no way between the browser and the gateway was found (ICE or DTLS failed)")
        # A connection that was lost may come back. The grace period in `_tick` decides.

    def _browser_closed(self) -> None:
        self._end("")

    def _message(self, text: str) -> None:
        if self._closed:
            return
        if (size := len(text.encode(errors="replace"))) > MESSAGE_BYTES:
            self._end(f"the browser sent a message of {size} bytes: {MESSAGE_BYTES} are the limit")
            return
        if not self._rate.take(self._loop.time()):
            self._end(f"the browser sent more than {MESSAGES_PER_S} messages a second")
            return
        if text.startswith("ping"):  # the keep-alive of Pipecat's clients is not needed beside RTP and STUN
            return
        try:
            read_json("[" * WRAPPINGS + text + "]" * WRAPPINGS)
            data = json.loads(text)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            logger.debug("a browser's message was dropped: no JSON object that can be passed on")
        elif data.get("type") == "signalling":
            message = data.get("message")
            if isinstance(message, dict) and message.get("type") == "peerLeft":
                self._browser_closed()
        elif data.get("type") == "dtmf" and "label" not in data:
            digits = data.get("digits")
            if isinstance(digits, str) and 0 < len(digits) <= MAX_DIGITS and _KEYS.issuperset(digits):
                self._on_event(BrowserSent(digits=digits.upper()))
        else:
            sent = BrowserSent(data=data)
            if len(dump(sent)) > MESSAGE_BYTES:  # a number can be longer when it is written again
                logger.warning("a browser's message was dropped: it is too large for an agent")
            else:
                self._on_event(sent)

    # ------------------------------------------------------------------ time

    def _tick(self) -> None:
        if self._closed:
            return
        now = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        peer = self._peer
        if peer is None or not peer.connected:
            if now >= self._deadline:
                self._end(f"the browser did not connect within {self._settings.connect_s:g} s")
            return
        peer.audio.tick(now)
        if peer.overrun:
            self._end("the browser sent a message without an end")
            return
        if now - self._measured_at >= MEASURE_S:
            self._measured_at = now
            self._on_event(QualityMeasured(quality=peer.audio.quality()))
        silent_s = now - peer.audio.heard_at
        if silent_s > self._settings.grace_s:
            self._end(f"the network was lost: nothing was heard from the browser for {silent_s:.0f} s")

    def _end(self, detail: str) -> None:
        if not self._closed:
            self._give_up(detail)
            self._spawn(self.close())

    def _give_up(self, detail: str) -> None:
        """Stop deadlines and messages, and send the gateway the last events."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._peer is not None:
            self._on_event(QualityMeasured(quality=self._peer.audio.quality()))
        self._on_event(PeerClosed(detail=detail))
        self._on_closed()
