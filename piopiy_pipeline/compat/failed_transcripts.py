"""`on_failed_transcript`: a realtime provider has heard the caller, and could not write down what they have said.

Providers of OpenAI's mould say so in an event of its own, which pipecat's services leave unread. That of Azure Voice
Live takes it for a failure of the answer, which comes all the same.

Only the agent's side may import this module: the gateway does without pipecat.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from piopiy_pipeline.compat import check_attributes
from piopiy_pipeline.compat.pipecat import PIPECAT
from piopiy_pipeline.compat.realtime import wrap_connections
from piopiy_pipeline.compat.wrapped_connection import WrappedConnection

__all__ = ["on_failed_transcript"]

EVENT = "conversation.item.input_audio_transcription.failed"
_OWN_HANDLER = "_handle_evt_input_audio_transcription_failed"

Failed = Callable[[str, str], Awaitable[None]]
"""Takes the name of the item of the conversation, and why it was not written down; empty if that is not known."""


def on_failed_transcript(service: Any, failed: Failed) -> None:
    """Have a function called when a provider could not write down what it has heard.

    Args:
        service: A service of OpenAI's mould, before it runs.
        failed: The function.

    Raises:
        CompatError: A service that reads the event has changed.
    """
    handle = getattr(service, _OWN_HANDLER, None)
    if handle is None:
        wrap_connections(service, lambda connection: _ReadConnection(connection, failed))
        return
    check_attributes(
        "pipecat-ai", [(type(service), "_interim_transcription_text")], written_for=PIPECAT, used_in=__name__
    )

    async def handle_failed(evt: Any) -> None:
        service._interim_transcription_text = ""  # as the service's own does
        await failed(evt.item_id, str(getattr(evt.error, "message", None) or ""))

    setattr(service, _OWN_HANDLER, handle_failed)


class _ReadConnection(WrappedConnection):
    """A connection whose messages are looked through."""

    def __init__(self, connection: Any, failed: Failed) -> None:
        super().__init__(connection)
        self._failed = failed

    async def take(self, message: str | bytes) -> bool:
        if isinstance(message, str) and EVENT in message:
            await self._read(message)
        return True

    async def _read(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            return
        if not isinstance(message, dict) or message.get("type") != EVENT:
            return  # somebody has said this
        error = message.get("error")
        why = error.get("message") if isinstance(error, dict) else None
        await self._failed(str(message.get("item_id") or ""), str(why or ""))
