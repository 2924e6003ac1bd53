"""Exotel's Voicebot applet: 16-bit samples at 8, 16 or 24 kHz, base64 in JSON, in pieces of 3,200 bytes and more.

Messages and sizes: https://developer.exotel.com/docs/agentstream/stream-voicebot-applet
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.audio_format import PCMU, l16
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    basic,
    promoted,
    same,
)
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierError,
    CarrierMessage,
    CarrierStart,
    CarrierStream,
    Event,
    JsonStream,
    Name,
    Parameters,
    Wire,
    dumps,
)
from piopiy_pipeline.gateway.carriers.config import CarrierName, ExotelConfig

__all__ = ["Exotel", "ExotelStream"]

PIECE_BYTES = 3200
"""Smaller pieces are played with gaps."""
STEP_BYTES = 320
"""And every piece has a multiple of this."""


class _ExotelFormat(CarrierMessage):
    encoding: str = ""
    sample_rate: int | None = None


class _ExotelStart(CarrierMessage):
    call_sid: Name
    stream_sid: Name = ""
    account_sid: Name = ""
    from_number: Name | None = Field(default=None, alias="from")
    to_number: Name | None = Field(default=None, alias="to")
    custom_parameters: Parameters | None = None
    media_format: _ExotelFormat = Field(default_factory=_ExotelFormat)


class ExotelStream(JsonStream):
    """One stream. `asked_rate` is that of its address, if its start tells none."""

    EVENTS: ClassVar[Mapping[str, Event]] = {
        "connected": "connected",
        "start": "start",
        "media": "media",
        "dtmf": "dtmf",
        "mark": "mark",
        "stop": "stop",
    }

    def __init__(self, asked_rate: int) -> None:
        super().__init__(l16(asked_rate))
        self._gathered = bytearray()

    def start(self, message: dict[str, Any]) -> CarrierStart:
        said = _ExotelStart.read(message.get("start"))
        told = said.media_format
        rate = told.sample_rate or self.format.rate
        if "mulaw" in told.encoding and rate == 8000:
            self.format = PCMU
        elif "mulaw" not in told.encoding and rate in (8000, 16000, 24000):
            self.format = l16(rate)
        else:
            raise CarrierError(f"a stream of {told.encoding} at {rate} Hz, which is not known")
        from_number, to_number, parameters = promoted(said.custom_parameters or {})
        return CarrierStart(
            call_id=said.call_sid,
            stream_id=said.stream_sid or str(message.get("stream_sid", ""))[:512],
            account_id=said.account_sid,
            from_number=said.from_number or from_number,
            to_number=said.to_number or to_number,
            parameters=parameters,
        )

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "stream_sid": self.stream_id, "media": {"payload": payload}}

    @property
    def gathers(self) -> bool:
        return bool(self._gathered)

    def audio(self, frame: bytes) -> list[Wire]:
        self._gathered += frame
        return self._piece() if len(self._gathered) * self._size >= 2 * PIECE_BYTES else []

    def rest(self) -> list[Wire]:
        return self._piece() if self._gathered else []

    @property
    def _size(self) -> int:
        """Bytes of a sample."""
        return 1 if self.format.coding == "PCMU" else 2

    def _piece(self) -> list[Wire]:
        steps = -(-len(self._gathered) * self._size // (2 * STEP_BYTES))
        size = max(PIECE_BYTES, steps * STEP_BYTES) // self._size * 2
        piece = bytes(self._gathered).ljust(size, b"\0")  # with silence
        self._gathered.clear()
        return super().audio(piece)

    def clear(self) -> list[Wire]:
        self._gathered.clear()
        return [dumps({"event": "clear", "stream_sid": self.stream_id})]

    def mark(self, name: str) -> list[Wire]:
        return [dumps({"event": "mark", "stream_sid": self.stream_id, "mark": {"name": name}})]


class Exotel(Carrier):
    """Signs nothing. It sends the name and password of the address that the applet was given, or our ticket."""

    name: ClassVar[CarrierName] = "exotel"
    admission = "either"

    def __init__(self, config: ExotelConfig, wall: Callable[[], float]) -> None:
        self._config = config
        self._expected = basic(config.user, config.password)

    def check_answer(self, request: CarrierRequest) -> None:
        presented = request.header("authorization")
        if presented is None:
            raise AccessError(
                401, "give the applet an address with user and password: https://user:password@..."
            )
        if not same(presented, self._expected):
            raise AccessError(403, "these are not the user and password of carriers.exotel")

    def check_stream(self, request: CarrierRequest) -> None:
        self.check_answer(request)

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = request.fields
        return CarrierCall(said.get("CallSid", ""), said.get("CallFrom"), said.get("CallTo"))

    def document(self, stream_url: str) -> Document:
        url = f"{stream_url}?sample-rate={self._config.sample_rate}"
        return Document("application/json", json.dumps({"url": url}))

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        asked = dict(request.query).get("sample-rate", "8000")
        return ExotelStream(int(asked) if asked in ("8000", "16000", "24000") else 8000)
