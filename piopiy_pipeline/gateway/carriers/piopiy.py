"""Piopiy's PCMO ``stream`` action: the caller as 16-bit samples in binary messages, the bot as JSON.

PCMO: https://doc.telecmi.com/piopiy/docs/ai-streaming (and ``stream-action-play-stream``); ``break`` is
what ``interrupt()`` of Piopiy's own Python package sends.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import ClassVar

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.audio_format import l16
from piopiy_pipeline.gateway.carriers.carrier import Carrier, CarrierCall, CarrierRequest, Document, same
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierAudio,
    CarrierStart,
    CarrierStream,
    Heard,
    MalformedStreamMessage,
    Wire,
    dumps,
)
from piopiy_pipeline.gateway.carriers.config import CarrierName, PiopiyConfig

__all__ = ["Piopiy", "PiopiyStream"]


class PiopiyStream(CarrierStream):
    """One stream. It begins without a word: `call` is what its ticket says."""

    def __init__(self, rate: int, call: CarrierCall) -> None:
        self.format = l16(rate)
        self._call = call

    def opened(self) -> list[Heard]:
        return [CarrierStart(call_id=self._call.call_id)]

    def text(self, data: bytes) -> list[Heard]:
        """No text is documented in this direction."""
        return []

    def binary(self, data: bytes) -> list[Heard]:
        if len(data) % 2:
            raise MalformedStreamMessage(f"sound of {len(data)} bytes, which is half a sample too much")
        return [CarrierAudio(data)] if data else []

    def audio(self, frame: bytes) -> list[Wire]:
        data = {
            "audioDataType": "raw",
            "sampleRate": self.format.rate,
            "audioData": base64.b64encode(frame).decode("ascii"),
        }
        return [dumps({"type": "streamAudio", "data": data})]

    def clear(self) -> list[Wire]:
        return [dumps({"action": "break"})]

    def farewell(self) -> list[Wire]:
        return [dumps({"action": "stop"})]


class Piopiy(Carrier):
    """Signs nothing: the answer URL carries a key, and streams are let in by tickets."""

    name: ClassVar[CarrierName] = "piopiy"
    own_query: ClassVar[frozenset[str]] = frozenset({"key"})

    def __init__(self, config: PiopiyConfig, wall: Callable[[], float]) -> None:
        self._config = config

    def check_answer(self, request: CarrierRequest) -> None:
        keys = [value for name, value in request.query if name == "key"]
        if not keys:
            raise AccessError(401, "this answer URL has no key: give it ?key=<carriers.piopiy.answer_key>")
        if not same(keys[0], self._config.answer_key):
            raise AccessError(403, "the key in this answer URL is not carriers.piopiy.answer_key")

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = request.fields
        return CarrierCall(said.get("cmiuuid", ""), said.get("from"), said.get("to"))

    def document(self, stream_url: str) -> Document:
        stream = {
            "action": "stream",
            "ws_url": stream_url,
            "listen_mode": "caller",
            "voice_quality": str(self._config.sample_rate),
            "stream_on_answer": True,
        }
        return Document("application/json", json.dumps([stream]))

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        return PiopiyStream(self._config.sample_rate, call or CarrierCall())
