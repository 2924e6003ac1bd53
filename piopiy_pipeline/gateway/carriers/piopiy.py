"""Piopiy's PCMO ``stream`` action: the caller as 16-bit samples in binary messages, the bot as JSON.

PCMO: https://doc.telecmi.com/piopiy/docs/ai-streaming (and ``stream-action-play-stream``); ``break`` is
what ``interrupt()`` of Piopiy's own Python package sends.
"""

from __future__ import annotations

import base64
import json
from typing import ClassVar

from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, PiopiyConfig

__all__ = ["Piopiy", "PiopiyStream"]


class PiopiyStream(kit.CarrierStream):
    """One stream of Piopiy. It has no start message, so `call` is what its ticket says."""

    def __init__(self, rate: int, call: kit.CarrierCall) -> None:
        self.format = kit.l16(rate)
        self._call = call

    def opened(self) -> list[kit.StreamEvent]:
        return [kit.CarrierStart(call_id=self._call.call_id)]

    def receive_text(self, data: bytes) -> list[kit.StreamEvent]:
        """Ignore text: none is documented in this direction."""
        return []

    def receive_binary(self, data: bytes) -> list[kit.StreamEvent]:
        if len(data) % 2:
            raise kit.MalformedStreamMessage(f"audio of {len(data)} bytes, which is half a sample too much")
        return [kit.CarrierAudio(data)] if data else []

    def send_audio(self, pcm: bytes) -> list[kit.Wire]:
        data = {
            "audioDataType": "raw",
            "sampleRate": self.format.rate,
            "audioData": base64.b64encode(pcm).decode("ascii"),
        }
        return [{"type": "streamAudio", "data": data}]

    def clear(self) -> list[kit.Wire]:
        return [{"action": "break"}]

    def closing(self) -> list[kit.Wire]:
        return [{"action": "stop"}]


class Piopiy(kit.Carrier[PiopiyConfig]):
    """Piopiy signs nothing. The answer URL carries a key, and streams are admitted by tickets."""

    name: ClassVar[CarrierName] = "piopiy"
    own_query: ClassVar[frozenset[str]] = frozenset({"key"})

    def check_answer(self, request: kit.CarrierRequest) -> None:
        keys = [value for name, value in request.query if name == "key"]
        if not keys:
            raise kit.AccessError(
                401, "this answer URL has no key: give it ?key=<carriers.piopiy.answer_key>"
            )
        if not kit.same_secret(keys[0], self._config.answer_key):
            raise kit.AccessError(403, "the key in this answer URL is not carriers.piopiy.answer_key")

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = request.fields
        return kit.CarrierCall(fields.get("cmiuuid", ""), fields.get("from"), fields.get("to"))

    def document(self, stream_url: str) -> kit.Document:
        stream = {
            "action": "stream",
            "ws_url": stream_url,
            "listen_mode": "caller",
            "voice_quality": str(self._config.sample_rate),
            "stream_on_answer": True,
        }
        return kit.Document("application/json", json.dumps([stream]))

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        return PiopiyStream(self._config.sample_rate, call or kit.CarrierCall())
