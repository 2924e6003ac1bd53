"""A media link that notes what passes through it, between the call's own link and its transport."""

from __future__ import annotations

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    Held,
    Played,
    Resume,
)
from piopiy_pipeline.transports.link import LinkListener, MediaLink

__all__ = ["CaptureLink"]


class CaptureLink:
    """A `MediaLink` around another one. It passes everything on unchanged, in both directions.

    Args:
        inner: The call's own link, to which this one is the listener.
        log: Where what passes is noted.
    """

    def __init__(self, inner: MediaLink, log: CaptureLog) -> None:
        self.caller_rate = inner.caller_rate
        self.bot_rate = inner.bot_rate
        self.can_hold = inner.can_hold
        self.can_calm = False  # a capture has the caller's audio when it comes
        self._inner = inner
        self._log = log
        self._listener: LinkListener | None = None

    # ------------------------------------------------------------------ MediaLink

    def attach(self, listener: LinkListener) -> None:
        self._listener = listener
        self._log.answered()
        self._inner.attach(self)

    def send_audio(self, pcm: bytes) -> None:
        self._log.bot_audio(pcm)
        self._inner.send_audio(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        match event:
            case Clear(epoch=epoch):
                self._log.clearing(epoch)
            case Resume(position=position):
                self._log.resuming(position)
            case Dtmf(digits=digits):
                self._log.event("bot_dtmf", {"digits": digits})
            case DataMessage(data=data):
                self._log.event("bot_message", {"data": data})
        self._inner.send_event(event)

    async def close(self) -> None:
        self._listener = None
        await self._inner.close()

    # ------------------------------------------------------------------ LinkListener

    def on_audio(self, pcm: bytes) -> None:
        self._log.caller_audio(pcm)
        if self._listener is not None:
            self._listener.on_audio(pcm)

    def on_event(self, event: GatewayMediaEvent) -> None:
        match event:
            case Played():
                self._log.played(event.epoch, event.position, event.dry)
            case Cleared():
                self._log.cleared(event.epoch, event.position)
            case Held():
                self._log.held(event.epoch, event.position)
            case Dtmf(digits=digits):
                self._log.event("dtmf", {"digits": digits})
            case DataMessage(data=data):
                self._log.event("message", {"data": data})
        if self._listener is not None:
            self._listener.on_event(event)

    def on_lost(self) -> None:
        self._log.event("media_lost")
        if self._listener is not None:
            self._listener.on_lost()
