"""One caller's place in a worker: the peer connection of now, its deadlines, and what its messages mean.

A browser that lost its network may come again with a fresh connection for the same call (what Pipecat's
clients do, and what an ICE restart is here): the seat stays, its peer is another. A seat that nothing
was heard from for the grace period, or whose peer never connected, is given up.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from loguru import logger

from piopiy_pipeline.gateway.access.strict_json import check_json
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.peer import Peer, PeerEvents, PeerRefused
from piopiy_pipeline.gateway.webrtc.worker_messages import (
    BrowserSent,
    Configure,
    Connected,
    Gone,
    QualityMeasured,
    Trickled,
)
from piopiy_pipeline.signaling.gateway_protocol import TokenBucket
from piopiy_pipeline.signaling.messages import Message, dump

__all__ = ["PeerSession"]

TICK_S = 0.5
MEASURE_S = 2.0
MESSAGE_BYTES = 48 << 10
"""What an agent takes, with room for what goes around it."""
MESSAGES_PER_S = 50
WRAPPINGS = 8
MAX_DIGITS = 64
_KEYS = frozenset("0123456789*#ABCDabcd")
_PEER_LEFT = json.dumps({"type": "signalling", "message": {"type": "peerLeft"}})


class PeerSession:
    """`tell` posts an event to the gateway, `sound` the caller's PCM; `spawn` runs what takes a while."""

    def __init__(
        self,
        settings: Configure,
        *,
        tell: Callable[[Message], None],
        sound: Callable[[bytes], object],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        on_gone: Callable[[], object],
    ) -> None:
        self._settings = settings
        self._tell = tell
        self._sound = sound
        self._spawn = spawn
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._rate = TokenBucket(MESSAGES_PER_S, self._loop.time())
        self._turn = asyncio.Lock()  # one negotiation at a time
        self._peer: Peer | None = None
        self._deadline = self._loop.time() + settings.connect_s
        self._been_connected = False
        self._measured_at = 0.0
        self._closed = False
        self._timer = self._loop.call_later(TICK_S, self._tick)

    # ------------------------------------------------------------------ the gateway's side

    async def negotiate(self, sdp: str, *, restart: bool) -> str:
        """The answer to an offer. Raises `PeerRefused`."""
        async with self._turn:
            peer = self._peer
            if peer is not None and not restart and not peer.restarts_ice(sdp):
                return await peer.answer(sdp)
            fresh = self._make_peer()
            try:
                answer = await fresh.answer(sdp)
            except BaseException:  # nobody else knows of it yet
                await fresh.close()
                raise
            if self._closed:
                await fresh.close()
                raise PeerRefused(409, "the call ended meanwhile")
            self._peer = fresh
            self._deadline = self._loop.time() + self._settings.connect_s
            if peer is not None:
                self._spawn(peer.close())
            return answer

    async def add(self, candidates: list[Trickled]) -> None:
        """Candidates for the peer of now. One that cannot be read is left out, and logged."""
        for candidate in candidates:
            if self._peer is not None:
                try:
                    await self._peer.add(candidate)
                except PeerRefused as refused:
                    logger.warning("{}", refused.text)

    def say(self, text: str) -> None:
        """A message for the browser's application."""
        if self._peer is not None:
            self._peer.say(text)

    def fail(self) -> None:
        """Something went wrong here: end this call, and no other."""
        self._end("internal error of the gateway: see its log")

    def play(self, pcm: bytes) -> None:
        """20 ms of speech, to be heard now."""
        if self._peer is not None:
            self._peer.voice.send(pcm)

    async def close(self, *, tell: bool = False) -> None:
        """Leave, in bounded time; with `tell` the browser is told first. May be called more than once."""
        self._give_up("")
        peer, self._peer = self._peer, None
        if peer is None:
            return
        if tell:
            peer.say(_PEER_LEFT)
            await asyncio.sleep(0)  # SCTP sends on the next turn of the loop
        await peer.close()

    # ------------------------------------------------------------------ the browser's side

    def _make_peer(self) -> Peer:
        def for_this(what: Callable[[], None]) -> Callable[[], None]:
            """Only while it is the peer of now: what it replaced has no more say."""
            return lambda: what() if self._peer is peer else None

        peer = Peer(
            ice_servers=self._settings.ice_servers,
            rate=self._settings.rate,
            public=IceAddresses.parse(self._settings.addresses).public,
            events=PeerEvents(
                connected=for_this(self._connected),
                sound=self._sound,
                message=self._message,
                failed=for_this(self._failed),
                left=for_this(self._left),
            ),
        )
        return peer

    def _connected(self) -> None:
        if not self._been_connected and not self._closed:
            self._been_connected = True
            self._tell(Connected())

    def _failed(self) -> None:
        if not self._been_connected:
            self._end("no way between the browser and the gateway was found (ICE or DTLS failed)")
        # A connection that stood may come again: the deadline of `_tick` decides.

    def _left(self) -> None:
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
        if text.startswith("ping"):  # the keep-alive of Pipecat's clients: RTP and STUN tell as much
            return
        try:
            # It goes on inside of other messages, and each reader counts all levels: some are left for those.
            check_json("[" * WRAPPINGS + text + "]" * WRAPPINGS)
            data = json.loads(text)
        except ValueError:
            data = None
        if not isinstance(data, dict):
            logger.debug("a browser's message was left out: no JSON object that can be passed on")
        elif data.get("type") == "signalling":
            message = data.get("message")
            if isinstance(message, dict) and message.get("type") == "peerLeft":
                self._left()
        elif data.get("type") == "dtmf" and "label" not in data:
            digits = data.get("digits")
            if isinstance(digits, str) and 0 < len(digits) <= MAX_DIGITS and _KEYS.issuperset(digits):
                self._tell(BrowserSent(digits=digits.upper()))
        else:
            heard = BrowserSent(data=data)
            if len(dump(heard)) > MESSAGE_BYTES:  # written out, numbers can be longer than they came
                logger.warning("a browser's message was left out: it is too large for an agent")
            else:
                self._tell(heard)

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
        peer.voice.tick(now)
        if peer.overrun:
            self._end("the browser sent a message without an end")
            return
        if now - self._measured_at >= MEASURE_S:
            self._measured_at = now
            self._tell(QualityMeasured(quality=peer.voice.quality()))
        silent_s = now - peer.voice.heard_at
        if silent_s > self._settings.grace_s:
            self._end(f"the network was lost: nothing was heard from the browser for {silent_s:.0f} s")

    def _end(self, detail: str) -> None:
        if not self._closed:
            self._give_up(detail)
            self._spawn(self.close())

    def _give_up(self, detail: str) -> None:
        """No more deadlines and messages; the gateway is told the last of it."""
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        if self._peer is not None:
            self._tell(QualityMeasured(quality=self._peer.voice.quality()))
        self._tell(Gone(detail=detail))
        self._on_gone()
