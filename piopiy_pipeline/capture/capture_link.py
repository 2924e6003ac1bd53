"""A media link that lets a recorder hear what passes: between the call's own link and its transport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from piopiy_pipeline.signaling.messages import (
    AgentMediaEvent,
    Clear,
    Cleared,
    DataMessage,
    Dtmf,
    GatewayMediaEvent,
    Played,
)
from piopiy_pipeline.transports.link import LinkListener, MediaLink

if TYPE_CHECKING:
    from piopiy_pipeline.capture.call_capture import CallCapture

__all__ = ["CaptureLink"]


class CaptureLink:
    """A `MediaLink` around another, and that one's listener. It changes nothing."""

    def __init__(self, inner: MediaLink, recorder: CallCapture) -> None:
        self.caller_rate = inner.caller_rate
        self.bot_rate = inner.bot_rate
        self._inner = inner
        self._recorder = recorder
        self._listener: LinkListener | None = None

    # ------------------------------------------------------------------ MediaLink

    def attach(self, listener: LinkListener) -> None:
        self._listener = listener
        self._recorder.attached()
        self._inner.attach(self)

    def send_audio(self, pcm: bytes) -> None:
        self._recorder.bot_audio(pcm)
        self._inner.send_audio(pcm)

    def send_event(self, event: AgentMediaEvent) -> None:
        match event:
            case Clear(epoch=epoch):
                self._recorder.clearing(epoch)
            case Dtmf(digits=digits):
                self._recorder.event("bot_dtmf", {"digits": digits})
            case DataMessage(data=data):
                self._recorder.event("bot_message", {"data": data})
        self._inner.send_event(event)

    async def close(self) -> None:
        self._listener = None
        await self._inner.close()

    # ------------------------------------------------------------------ LinkListener

    def on_audio(self, pcm: bytes) -> None:
        self._recorder.caller_audio(pcm)
        if self._listener is not None:
            self._listener.on_audio(pcm)

    def on_event(self, event: GatewayMediaEvent) -> None:
        match event:
            case Played():
                self._recorder.played(event.epoch, event.position, event.dry)
            case Cleared():
                self._recorder.cleared(event.epoch, event.position)
            case Dtmf(digits=digits):
                self._recorder.caller_event("dtmf", {"digits": digits})
            case DataMessage(data=data):
                self._recorder.caller_event("message", {"data": data})
        if self._listener is not None:
            self._listener.on_event(event)

    def on_lost(self) -> None:
        self._recorder.event("media_lost")
        if self._listener is not None:
            self._listener.on_lost()
