"""Telnyx's media streaming: PCMU, PCMA or L16, base64 in JSON, numbered because order is not promised.

Messages: https://developers.telnyx.com/api-reference/websockets/stream-call-media-over-websocket
Signatures: Ed25519 over ``timestamp|body``, https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import Field

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.audio_format import PCMA, PCMU, AudioFormat
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    RestCall,
    connect_stream,
    is_id,
    promoted,
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
from piopiy_pipeline.gateway.carriers.config import CarrierName, TelnyxConfig
from piopiy_pipeline.gateway.carriers.tickets import ReplayGuard

__all__ = ["ReorderBuffer", "Telnyx", "TelnyxStream"]

TOLERANCE_S = 300
"""How old, or early, a webhook's timestamp may be."""
WAIT_FOR = 3
"""So many later pieces of sound are held back for one that is missing."""
_L16 = AudioFormat("L16BE", 16000)
FORMATS: Mapping[str, AudioFormat] = {"PCMU": PCMU, "PCMA": PCMA, "L16": _L16}


class _TelnyxFormat(CarrierMessage):
    encoding: str
    sample_rate: int
    channels: int = 1


class _TelnyxStart(CarrierMessage):
    call_control_id: Name
    media_format: _TelnyxFormat
    user_id: Name = ""
    from_number: Name | None = Field(default=None, alias="from")
    to_number: Name | None = Field(default=None, alias="to")
    custom_parameters: Parameters | None = None


class ReorderBuffer:
    """Puts numbered pieces in their order: waits for one that is missing until `WAIT_FOR` others have come."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, bytes] = {}
        self._late = 0

    def add(self, number: int, piece: bytes) -> list[bytes]:
        """What is due now. A piece that comes too late, or twice, is left out; many of them begin anew."""
        if self._next is None:
            self._next = number
        if number < self._next or number in self._early:
            self._late += 1
            if self._late <= WAIT_FOR:
                return []
            self._early.clear()
            self._next = number
        self._late = 0
        self._early[number] = piece
        if number != self._next and len(self._early) > WAIT_FOR:
            self._next = min(self._early)
        due = []
        while (ready := self._early.pop(self._next, None)) is not None:
            due.append(ready)
            self._next += 1
        return due


class TelnyxStream(JsonStream):
    """One stream, sent in the codec of the settings; the caller's is told by the start."""

    EVENTS: ClassVar[Mapping[str, Event]] = {
        "connected": "connected",
        "start": "start",
        "media": "media",
        "dtmf": "dtmf",
        "mark": "mark",
        "stop": "stop",
        "error": "error",
    }

    def __init__(self, codec: str) -> None:
        super().__init__(FORMATS[codec])
        self._caller = self.format
        self._order = ReorderBuffer()

    def start(self, message: dict[str, Any]) -> CarrierStart:
        said = _TelnyxStart.read(message.get("start"))
        told = FORMATS.get(said.media_format.encoding.upper())
        sound = (said.media_format.sample_rate, said.media_format.channels)
        if told is None or sound != (self.format.rate, 1) or told.rate != self.format.rate:
            raise CarrierError(
                f"a stream of {said.media_format.encoding} at {sound[0]} Hz: the settings ask for"
                f" {self.format.coding.removesuffix('BE')} at {self.format.rate}; see carriers.telnyx.codec"
            )
        self._caller = told
        from_number, to_number, parameters = promoted(said.custom_parameters or {})
        return CarrierStart(
            call_id=said.call_control_id,
            stream_id=str(message.get("stream_id", ""))[:512],
            account_id=said.user_id,
            from_number=said.from_number or from_number,
            to_number=said.to_number or to_number,
            parameters=parameters,
        )

    def decode(self, payload: bytes) -> bytes:
        return self._caller.decode(payload)

    def ordered(self, media: dict[str, Any], pcm: bytes) -> Iterable[bytes]:
        try:
            number = int(str(media.get("chunk"))[:16])
        except ValueError:
            return (pcm,)  # not numbered
        return self._order.add(number, pcm)

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "media": {"payload": payload}}

    def clear(self) -> list[Wire]:
        return [dumps({"event": "clear"})]

    def mark(self, name: str) -> list[Wire]:
        return [dumps({"event": "mark", "mark": {"name": name}})]


class Telnyx(Carrier):
    """Signs webhooks. Streams are let in by tickets."""

    name: ClassVar[CarrierName] = "telnyx"

    def __init__(self, config: TelnyxConfig, wall: Callable[[], float]) -> None:
        self._config = config
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(config.public_key))
        self._wall = wall
        self._once = ReplayGuard()

    def check_answer(self, request: CarrierRequest) -> None:
        signature, timestamp = (
            request.header("telnyx-signature-ed25519"),
            request.header("telnyx-timestamp"),
        )
        if signature is None or timestamp is None:
            raise AccessError(401, "this request has no telnyx-signature-ed25519 and telnyx-timestamp")
        try:
            raw = base64.b64decode(signature, validate=True)
            self._key.verify(raw, timestamp.encode() + b"|" + request.body)
            sent_at = int(timestamp)
        except (InvalidSignature, binascii.Error, ValueError):
            raise AccessError(
                403, "this request's signature is not Telnyx's: see that carriers.telnyx.public_key is right"
            ) from None
        now = self._wall()
        if abs(now - sent_at) > TOLERANCE_S:
            raise AccessError(403, f"this request was signed more than {TOLERANCE_S} s ago, or is to be")
        if not self._once.take(raw.hex(), sent_at + TOLERANCE_S, now):
            raise AccessError(403, "this request was made before: its signature is used up")

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = dict(request.form)  # the query is not signed
        return CarrierCall(said.get("CallSid", ""), said.get("From"), said.get("To"))

    def document(self, stream_url: str) -> Document:
        codec = self._config.codec
        return connect_stream(
            stream_url,
            track="inbound_track",
            codec=codec,
            bidirectionalMode="rtp",  # without it, what the bot says is dropped
            bidirectionalCodec=codec,
            bidirectionalSamplingRate=str(FORMATS[codec].rate),
        )

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        return TelnyxStream(self._config.codec)

    def hangup(self, start: CarrierStart) -> RestCall | None:
        config = self._config
        if config.api_key is None or not is_id(start.call_id):
            return None
        return RestCall(
            "POST",
            f"{config.api_url}/v2/calls/{start.call_id}/actions/hangup",
            headers={"Authorization": f"Bearer {config.api_key}"},
            over=frozenset({404, 422}),  # 422: the call has ended already
        )
