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

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.capture.tapped_connection import ConnectionTap, TappedConnection

__all__ = ["LEFT_OUT", "GeminiTap"]

RATE = 24_000
"""The sample rate of the model's audio in Hz, where a message does not say it."""
LEFT_OUT = "left out"
"""In the place of a handle by which Google would give the conversation to anybody with the account's key."""


class GeminiTap(ConnectionTap):
    """Listens at the connections of one service.

    Args:
        service: The service, before it runs.
        log: Where the messages are noted.
    """

    def __init__(self, service: FrameProcessor, log: CaptureLog) -> None:
        from piopiy_pipeline.compat.gemini_connection import wrap_connections  # it imports Google's client

        super().__init__(service, log)
        wrap_connections(service, self._opened)

    def _opened(self, connection: Any, setup: dict[str, Any]) -> TappedConnection:
        number = self._log.new_request()
        self.note(number, "opened", {})
        resumption = setup.get("session_resumption")
        if isinstance(resumption, dict) and resumption.get("handle"):
            setup = {**setup, "session_resumption": {**resumption, "handle": LEFT_OUT}}
        self.note(number, "sent", {"setup": setup})
        return TappedConnection(connection, self, number)

    def sent(self, number: int, text: str | bytes) -> None:
        message = json.loads(text)
        sound = message.get("realtime_input")
        if not (isinstance(sound, dict) and sound.keys() & {"audio", "video", "mediaChunks"}):
            self.note(number, "sent", message)

    def received(self, number: int, message: dict[str, Any]) -> None:
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
