"""The gateway's half of the leg of a browser or an app, whose peer connection is in a leg process."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.gateway.webrtc.peer_messages import BrowserMessage, BrowserSent, Close
from piopiy_pipeline.signaling.messages import ConversationEvent, Message

__all__ = ["PeerPort", "WebRtcLeg"]

EARLY_MESSAGES = 32
"""How many messages of the caller's application wait until the call is answered. Further ones are dropped."""
MESSAGE_CHARACTERS = 256 << 10
"""The longest message for a browser. Agents send a quarter of it, which JSON's escapes can make longer."""


class PeerPort(Protocol):
    """The way from the leg to its peer connection. A protocol, because tests of the leg stand in for the peer."""

    def post(self, message: Message) -> None:
        """Send a message to the peer."""

    def send_audio(self, pcm: bytes) -> None:
        """Send 20 ms of PCM16 mono to the peer, to be played at once."""


class WebRtcLeg(Leg):
    """The leg of one browser, at `rate` Hz in both directions. `Leg` says what its methods mean."""

    kind: CallKind = "browser"

    def __init__(self, port: PeerPort, *, rate: int) -> None:
        self.rate = rate
        self.quality: dict[str, Any] = {}
        """The last measurement of the connection: what `PeerAudio.quality` returns."""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._log = logger
        self._listener: LegListener | None = None
        self._answered = False
        self._early: list[BrowserSent] = []
        self._early_dropped = False
        self._ended = False

    # ------------------------------------------------------------------ from the call

    @property
    def frames_dropped(self) -> int:
        return int(self.quality.get("frames_dropped", 0))

    def line_quality(self) -> dict[str, Any]:
        return self.quality

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Send nothing: the browser has the call's id from the answer to its offer."""
        self._log = logger.bind(call_id=call_id)

    def answer(self) -> None:
        self._answered = True
        early, self._early = self._early, []
        for sent in early:
            self.browser_sent(sent)

    def send_audio(self, pcm: bytes) -> None:
        if not self._ended:
            self._port.send_audio(pcm)

    def conversation(self, event: ConversationEvent) -> None:
        """Do nothing: the agent sends a client what it shows, as data. Operators watch through the API."""

    def dtmf(self, digits: str) -> None:
        self.data({"type": "dtmf", "digits": digits})

    def data(self, data: dict[str, Any]) -> None:
        text = json.dumps(data)
        if len(text) > MESSAGE_CHARACTERS:
            self._log.warning(
                "a message of {} characters for a browser was dropped: {} are the limit",
                *(len(text), MESSAGE_CHARACTERS),
            )
        elif not self._ended:
            self._port.post(BrowserMessage(text=text))

    def end(self, reason: EndReason, detail: str) -> None:
        if not self._ended:
            self._ended = True
            self._listener = None
            self._port.post(Close())

    # ------------------------------------------------------------------ from the peer

    def caller_audio(self, pcm: bytes) -> None:
        """Take the caller's audio: PCM16 mono at `rate` Hz, of any length. It counts from the answer on."""
        if self._answered and self._listener is not None:
            self._listener.caller_audio(pcm)

    def browser_sent(self, sent: BrowserSent) -> None:
        """Take a message or DTMF digits of the caller's application."""
        if self._listener is None:
            return
        if not self._answered:
            # Pipecat's clients say that they are ready as soon as the data channel is open, and only once.
            if len(self._early) < EARLY_MESSAGES:
                self._early.append(sent)
            elif not self._early_dropped:
                self._early_dropped = True
                self._log.warning(
                    "more than {} messages and keys of a browser before the answer: the rest is dropped",
                    EARLY_MESSAGES,
                )
            return
        if sent.digits:
            self._listener.caller_dtmf(sent.digits)
        else:
            self._listener.caller_data(sent.data)

    def peer_closed(self, detail: str) -> None:
        """Handle that the peer connection is closed: the caller hung up, or was lost (`detail` then says
        how).
        """
        self._ended = True
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)
