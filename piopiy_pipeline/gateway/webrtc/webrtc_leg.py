"""A caller in a browser or an app: the gateway's half of a leg whose peer connection is in a worker."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Protocol

from loguru import logger

from piopiy_pipeline.call import CallKind, EndReason
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.gateway.webrtc.worker_messages import BrowserSent, Close, Say
from piopiy_pipeline.signaling.messages import ConversationEvent, Message

__all__ = ["PeerPort", "WebRtcLeg"]

EARLY_MESSAGES = 32
"""So many messages of the caller's application wait for the answer; further ones are left out."""


MESSAGE_CHARACTERS = 256 << 10
"""More than this no browser takes at once; agents send a quarter of it, which escapes can make longer."""


class PeerPort(Protocol):
    """The way to the leg's peer."""

    def post(self, message: Message) -> None:
        """Say something to the peer."""

    def sound(self, pcm: bytes) -> None:
        """20 ms for the peer, to be heard now."""


class WebRtcLeg(Leg):
    """One browser's line, at `rate` Hz in both directions. See `Leg`."""

    kind: CallKind = "browser"

    def __init__(self, port: PeerPort, *, rate: int) -> None:
        self.rate = rate
        self.quality: dict[str, Any] = {}
        """How well sound got through so far, as `Voice.quality` names it."""
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._listener: LegListener | None = None
        self._answered = False
        self._early: list[BrowserSent] = []
        self._ended = False

    # ------------------------------------------------------------------ the call's side

    @property
    def frames_dropped(self) -> int:
        return int(self.quality.get("frames_dropped", 0))

    def line_quality(self) -> dict[str, Any]:
        return self.quality

    def attach(self, listener: LegListener) -> None:
        self._listener = listener

    def ring(self, call_id: str) -> None:
        """Nothing: the browser has the call's id from the answer to its offer."""

    def answer(self) -> None:
        self._answered = True
        early, self._early = self._early, []
        for heard in early:
            self.peer_heard(heard)

    def send(self, frame: bytes) -> None:
        if not self._ended:
            self._port.sound(frame)

    def conversation(self, event: ConversationEvent) -> None:
        """Nothing: what a client shows it gets from the agent, as data; operators watch by the API."""

    def dtmf(self, digits: str) -> None:
        self.data({"type": "dtmf", "digits": digits})

    def data(self, data: dict[str, Any]) -> None:
        text = json.dumps(data)
        if len(text) > MESSAGE_CHARACTERS:
            logger.warning(
                "a message of {} characters for a browser was left out: {} are the limit",
                *(len(text), MESSAGE_CHARACTERS),
            )
        elif not self._ended:
            self._port.post(Say(text=text))

    def end(self, reason: EndReason, detail: str) -> None:
        if not self._ended:
            self._ended = True
            self._listener = None
            self._port.post(Close())

    # ------------------------------------------------------------------ the peer's side

    def peer_sound(self, pcm: bytes) -> None:
        """The caller's sound, as it comes."""
        if self._answered and self._listener is not None:
            self._listener.caller_audio(pcm)

    def peer_heard(self, heard: BrowserSent) -> None:
        """The caller's application sent a message, or keys."""
        if self._listener is None:
            return
        if not self._answered:
            # Pipecat's clients say that they are ready as soon as the data channel is open, and only once.
            if len(self._early) < EARLY_MESSAGES:
                self._early.append(heard)
            return
        if heard.digits:
            self._listener.caller_dtmf(heard.digits)
        else:
            self._listener.caller_data(heard.data)

    def peer_gone(self, detail: str) -> None:
        """The peer is closed: the caller left, or was lost."""
        self._ended = True
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.caller_hangup(self._loop.time(), detail)
