"""Notes the messages between a speech-to-speech service and its provider, both ways, with their times.

The service's connection is wrapped, so that what is noted is what was sent: the provider's answers, its words and its
tool calls, what it tells of the caller's speech, and what it was told of how much was heard. The model's audio goes
where that of a voice goes, and its place stands in the message. The caller's audio is in the capture already.
"""

from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

from pipecat.processors.frame_processor import FrameProcessor

from piopiy_pipeline.capture.capture_log import CaptureLog
from piopiy_pipeline.capture.tapped_connection import ConnectionTap, TappedConnection
from piopiy_pipeline.services.realtime_dialects import dialect_of
from piopiy_pipeline.services.realtime_services import is_gemini_live, is_realtime

__all__ = ["RealtimeTap", "has_messages"]

REPEATS = (
    "rate_limits.updated",
    "response.function_call_arguments.delta",
    "response.content_part.",
    "response.output_item.",
    "response.output_text.done",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
)
"""How messages begin that say again what others have said, and of which pipecat's services make nothing."""


def has_messages(service: FrameProcessor) -> bool:
    """Return whether a service is a speech-to-speech model's whose protocol is known: OpenAI's and those like it, or
    Google's.
    """
    if not is_realtime(service):
        return False
    if is_gemini_live(service):
        return True
    if dialect_of(service) is None:
        return False
    from piopiy_pipeline.compat.realtime import takes_client_events  # it imports a provider's service

    return takes_client_events(service)


class RealtimeTap(ConnectionTap):
    """Listens at the connections of one service.

    Args:
        service: The service, before it runs.
        log: Where the messages are noted.
    """

    def __init__(self, service: FrameProcessor, log: CaptureLog) -> None:
        from piopiy_pipeline.compat.realtime import output_rate, wrap_connections

        super().__init__(service, log)
        self._rate = partial(output_rate, service)
        wrap_connections(service, self._opened)

    def _opened(self, connection: Any) -> TappedConnection:
        number = self._log.new_request()
        self.note(number, "opened", {})
        return TappedConnection(connection, self, number)

    def sent(self, number: int, text: str | bytes) -> None:
        message = json.loads(text)
        if message.get("type") != "input_audio_buffer.append":
            self.note(number, "sent", message)

    def received(self, number: int, message: dict[str, Any]) -> None:
        kind = str(message.get("type"))
        if kind.startswith(REPEATS):
            return
        if kind.endswith("audio.delta"):
            pcm = base64.b64decode(message.pop("delta", ""))
            message["audio"] = self._log.speech(pcm[: len(pcm) // 2 * 2], self._rate())
        self.note(number, "received", message)
