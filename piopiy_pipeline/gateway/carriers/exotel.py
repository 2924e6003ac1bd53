"""Exotel's Voicebot applet: 16-bit samples at 8, 16 or 24 kHz, base64 in JSON, in pieces of 3,200 bytes and more.

Messages and sizes: https://developer.exotel.com/docs/agentstream/stream-voicebot-applet
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import Field

from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, ExotelConfig

__all__ = ["Exotel", "ExotelStream"]

PIECE_BYTES = 3200
"""The smallest piece, in bytes. Exotel plays smaller ones with gaps."""
STEP_BYTES = 320
"""The size of each piece, in bytes, is a multiple of this."""


class _ExotelFormat(kit.CarrierMessage):
    encoding: str = ""
    sample_rate: int | None = None


class _ExotelStart(kit.CarrierMessage):
    call_sid: kit.Text
    stream_sid: kit.Text = ""
    account_sid: kit.Text = ""
    from_number: kit.Text | None = Field(default=None, alias="from")
    to_number: kit.Text | None = Field(default=None, alias="to")
    custom_parameters: kit.Parameters | None = None
    media_format: _ExotelFormat = Field(default_factory=_ExotelFormat)


class ExotelStream(kit.JsonStream):
    """One stream of Exotel. `asked_rate` (Hz) is the rate in its URL, which counts if the start message names
    none.
    """

    def __init__(self, asked_rate: int) -> None:
        super().__init__(kit.l16(asked_rate))
        self._gathered = bytearray()

    def start(self, message: dict[str, Any]) -> kit.CarrierStart:
        start = _ExotelStart.read(message.get("start"))
        media = start.media_format
        rate = media.sample_rate or self.format.rate
        if "mulaw" in media.encoding and rate == 8000:
            self.format = kit.PCMU
        elif "mulaw" not in media.encoding and rate in (8000, 16000, 24000):
            self.format = kit.l16(rate)
        else:
            raise kit.CarrierError(f"a stream of {media.encoding} at {rate} Hz, which is not known")
        from_number, to_number, parameters = kit.split_numbers(start.custom_parameters or {})
        return kit.CarrierStart(
            call_id=start.call_sid,
            stream_id=start.stream_sid or str(message.get("stream_sid", ""))[:512],
            account_id=start.account_sid,
            from_number=start.from_number or from_number,
            to_number=start.to_number or to_number,
            parameters=parameters,
        )

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "stream_sid": self.stream_id, "media": {"payload": payload}}

    @property
    def waiting(self) -> bool:
        return bool(self._gathered)

    def send_audio(self, pcm: bytes) -> list[kit.Wire]:
        self._gathered += pcm
        return self._piece() if len(self._gathered) * self._size >= 2 * PIECE_BYTES else []

    def flush(self) -> list[kit.Wire]:
        return self._piece() if self._gathered else []

    @property
    def _size(self) -> int:
        """Bytes of a sample in the stream's format."""
        return 1 if self.format.coding == "PCMU" else 2

    def _piece(self) -> list[kit.Wire]:
        steps = -(-len(self._gathered) * self._size // (2 * STEP_BYTES))
        size = max(PIECE_BYTES, steps * STEP_BYTES) // self._size * 2
        piece = bytes(self._gathered).ljust(size, b"\0")  # with silence
        self._gathered.clear()
        return super().send_audio(piece)

    def clear(self) -> list[kit.Wire]:
        self._gathered.clear()
        return [{"event": "clear", "stream_sid": self.stream_id}]

    def mark(self, name: str) -> list[kit.Wire]:
        return [{"event": "mark", "stream_sid": self.stream_id, "mark": {"name": name}}]


class Exotel(kit.Carrier[ExotelConfig]):
    """Exotel signs nothing. It sends the user and password of the URL that its applet has, or a ticket."""

    name: ClassVar[CarrierName] = "exotel"
    admission = "either"

    def __init__(self, config: ExotelConfig, wall: Callable[[], float]) -> None:
        super().__init__(config, wall)
        self._expected = kit.basic_auth(config.user, config.password)

    def check_answer(self, request: kit.CarrierRequest) -> None:
        presented = request.header("authorization")
        if presented is None:
            raise kit.AccessError(
                401, "give the applet an address with user and password: https://user:password@..."
            )
        if not kit.same_secret(presented, self._expected):
            raise kit.AccessError(403, "these are not the user and password of carriers.exotel")

    def check_stream(self, request: kit.CarrierRequest) -> None:
        self.check_answer(request)

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = request.fields
        return kit.CarrierCall(fields.get("CallSid", ""), fields.get("CallFrom"), fields.get("CallTo"))

    def document(self, stream_url: str) -> kit.Document:
        url = f"{stream_url}?sample-rate={self._config.sample_rate}"
        return kit.Document("application/json", json.dumps({"url": url}))

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        asked = dict(request.query).get("sample-rate", "8000")
        return ExotelStream(int(asked) if asked in ("8000", "16000", "24000") else 8000)
