"""Notes the messages between pipecat's service for Gemini Live and Google, both ways, with their times.

Google's client writes to a WebSocket and reads from it: that is wrapped. The set-up goes before, and is noted as the
client was given it. As of other speech-to-speech models, the model's audio goes where that of a voice goes, and the
caller's is in the capture already.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.capture.realtime_tap import LONGEST_TEXT

__all__ = ["LEFT_OUT", "GeminiTap"]

RATE = 24_000
"""The sample rate of the model's audio in Hz, where a message does not say it."""
LEFT_OUT = "left out"
"""In the place of a handle by which Google would give the conversation to anybody with the account's key."""


class GeminiTap:
    """Listens at the connections of one service.

    Args:
        service: The service, before it runs.
        log: Where the messages are noted.
    """

    def __init__(self, service: FrameProcessor, log: CaptureLog) -> None:
        from piopiy_pipeline.compat.gemini_connection import wrap_connections  # it imports Google's client

        self._log = log
        self._name = type(service).__name__
        wrap_connections(service, self._opened)

    def _opened(self, connection: Any, setup: dict[str, Any]) -> _TappedSocket:
        number = self._log.new_request()
        self.note(number, "opened", {})
        resumption = setup.get("session_resumption")
        if isinstance(resumption, dict) and resumption.get("handle"):
            setup = {**setup, "session_resumption": {**resumption, "handle": LEFT_OUT}}
        self.note(number, "sent", {"setup": setup})
        return _TappedSocket(connection, self, number)

    def sent(self, number: int, text: str | bytes) -> None:
        """Note a message to the provider."""
        message = json.loads(text)
        sound = message.get("realtime_input")
        if not (isinstance(sound, dict) and sound.keys() & {"audio", "video", "mediaChunks"}):
            self.note(number, "sent", message)

    def received(self, number: int, raw: str | bytes) -> None:
        """Note a message of the provider's."""
        try:
            message = json.loads(raw)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
            self.note(number, "received", {"text": text[:LONGEST_TEXT]})
            return
        content = message.get("serverContent")
        turn = content.get("modelTurn") if isinstance(content, dict) else None
        for part in (turn.get("parts") or ()) if isinstance(turn, dict) else ():
            self._take_audio(part)
        update = message.get("sessionResumptionUpdate")
        if isinstance(update, dict) and update.get("newHandle"):
            update["newHandle"] = LEFT_OUT
        self.note(number, "received", message)

    def _take_audio(self, part: Any) -> None:
        blob = part.get("inlineData") if isinstance(part, dict) else None
        if isinstance(blob, dict) and str(blob.get("mimeType")).startswith("audio/pcm"):
            pcm = base64.b64decode(blob.pop("data", "") or "")
            rate = re.search(r"rate=(\d+)", blob["mimeType"])
            blob["audio"] = self._log.speech(pcm[: len(pcm) // 2 * 2], int(rate[1]) if rate else RATE)

    def note(self, number: int, kind: str, data: dict[str, Any]) -> None:
        """Note what has come over a connection, or has become of it."""
        self._log.exchange("realtime", self._name, number, kind, data)


class _TappedSocket:
    """A WebSocket whose messages are noted. Everything else is its own."""

    def __init__(self, connection: Any, tap: GeminiTap, number: int) -> None:
        self._connection = connection
        self._tap = tap
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    async def send(self, message: str | bytes) -> None:
        self._tap.sent(self._number, message)
        await self._connection.send(message)

    async def recv(self, **options: Any) -> Any:
        try:
            message = await self._connection.recv(**options)
        except ConnectionClosed:
            self._tap.note(self._number, "closed", {})
            raise
        self._tap.received(self._number, message)
        return message
