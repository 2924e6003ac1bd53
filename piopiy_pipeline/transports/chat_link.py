"""The media link of a text chat within one process: no audio, only messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.signaling.media_events import AgentMediaEvent, DataMessage, Dtmf, MediaStop
from piopiy_pipeline.transports.link import LinkListener

__all__ = ["ChatLink"]

RATE = 16000
"""The rate in Hz of a sound that never comes: a pipeline has one."""


class ChatLink:
    """A `MediaLink` whose caller writes.

    Args:
        on_message: Called with each message of the bot to the client's application.
        on_answer: Called when the bot is ready.
    """

    caller_rate = RATE
    bot_rate = RATE
    can_hold = can_calm = False

    def __init__(self, on_message: Callable[[dict[str, Any]], None], on_answer: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_answer = on_answer
        self._listener: LinkListener | None = None

    def tell(self, event: DataMessage | Dtmf) -> bool:
        """Give the bot a message or keys of the caller. Returns whether there is a bot to take it."""
        if self._listener is not None:
            self._listener.on_event(event)
        return self._listener is not None

    def attach(self, listener: LinkListener) -> None:
        self._listener = listener
        self._on_answer()

    def send_audio(self, pcm: bytes) -> None:
        """Drop it: nobody listens."""

    def send_event(self, event: AgentMediaEvent) -> None:
        if isinstance(event, DataMessage):
            self._on_message(event.data)
        elif isinstance(event, MediaStop):
            self._listener = None

    async def close(self) -> None:
        self._listener = None
