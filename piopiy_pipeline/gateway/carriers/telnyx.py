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

from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, TelnyxConfig

__all__ = ["ReorderBuffer", "Telnyx", "TelnyxStream"]

TOLERANCE_S = 300
"""How old, or early, a webhook's timestamp may be."""
WAIT_FOR = 3
"""How many later pieces of audio wait for a missing one."""
_L16 = kit.AudioFormat("L16BE", 16000)
FORMATS: Mapping[str, kit.AudioFormat] = {"PCMU": kit.PCMU, "PCMA": kit.PCMA, "L16": _L16}


class _TelnyxFormat(kit.CarrierMessage):
    encoding: str
    sample_rate: int
    channels: int = 1


class _TelnyxStart(kit.CarrierMessage):
    call_control_id: kit.Text
    media_format: _TelnyxFormat
    user_id: kit.Text = ""
    from_number: kit.Text | None = Field(default=None, alias="from")
    to_number: kit.Text | None = Field(default=None, alias="to")
    custom_parameters: kit.Parameters | None = None


class ReorderBuffer:
    """Puts numbered pieces into order. It waits for a missing one until `WAIT_FOR` others have come."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._early: dict[int, bytes] = {}
        self._late = 0

    def add(self, number: int, piece: bytes) -> list[bytes]:
        """Take a piece and return those that are due.

        A piece that comes too late, or twice, is dropped. After many of those in a row the numbering
        has begun again, and counting follows it.
        """
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


class TelnyxStream(kit.JsonStream):
    """One stream of Telnyx. The bot's audio has the codec of the settings; the start message says the
    caller's codec.
    """

    ERROR_EVENT = "error"

    def __init__(self, codec: str) -> None:
        super().__init__(FORMATS[codec])
        self._caller = self.format
        self._order = ReorderBuffer()

    def start(self, message: dict[str, Any]) -> kit.CarrierStart:
        start = _TelnyxStart.read(message.get("start"))
        media = start.media_format
        known = FORMATS.get(media.encoding.upper())
        rate = self.format.rate
        if known is None or (media.sample_rate, media.channels) != (rate, 1) or known.rate != rate:
            raise kit.CarrierError(
                f"a stream of {media.encoding} at {media.sample_rate} Hz: the settings ask for"
                f" {self.format.coding.removesuffix('BE')} at {self.format.rate}; see carriers.telnyx.codec"
            )
        self._caller = known
        from_number, to_number, parameters = kit.split_numbers(start.custom_parameters or {})
        return kit.CarrierStart(
            call_id=start.call_control_id,
            stream_id=str(message.get("stream_id", ""))[:512],
            account_id=start.user_id,
            from_number=start.from_number or from_number,
            to_number=start.to_number or to_number,
            parameters=parameters,
        )

    def decode(self, payload: bytes) -> bytes:
        return self._caller.decode(payload)

    def reorder(self, media: dict[str, Any], pcm: bytes) -> Iterable[bytes]:
        try:
            number = int(str(media.get("chunk"))[:16])
        except ValueError:
            return (pcm,)  # not numbered
        return self._order.add(number, pcm)

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "media": {"payload": payload}}

    def clear(self) -> list[kit.Wire]:
        return [{"event": "clear"}]

    def mark(self, name: str) -> list[kit.Wire]:
        return [{"event": "mark", "mark": {"name": name}}]


class Telnyx(kit.Carrier[TelnyxConfig]):
    """Telnyx signs webhooks. Streams are admitted by tickets."""

    name: ClassVar[CarrierName] = "telnyx"

    def __init__(self, config: TelnyxConfig, wall: Callable[[], float]) -> None:
        super().__init__(config, wall)
        self._key = Ed25519PublicKey.from_public_bytes(base64.b64decode(config.public_key))
        self._replays = kit.ReplayGuard()

    def check_answer(self, request: kit.CarrierRequest) -> None:
        signature, timestamp = (
            request.header("telnyx-signature-ed25519"),
            request.header("telnyx-timestamp"),
        )
        if signature is None or timestamp is None:
            raise kit.AccessError(401, "this request has no telnyx-signature-ed25519 and telnyx-timestamp")
        try:
            raw = base64.b64decode(signature, validate=True)
            self._key.verify(raw, timestamp.encode() + b"|" + request.body)
            sent_at = int(timestamp)
        except (InvalidSignature, binascii.Error, ValueError):
            raise kit.AccessError(
                403, "this request's signature is not Telnyx's: see that carriers.telnyx.public_key is right"
            ) from None
        now = self._wall()
        if abs(now - sent_at) > TOLERANCE_S:
            raise kit.AccessError(403, f"this request was signed more than {TOLERANCE_S} s ago, or is to be")
        if not self._replays.take(raw.hex(), sent_at + TOLERANCE_S, now):
            raise kit.AccessError(403, "this request was made before: its signature is used up")

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = dict(request.form)  # the query is not signed
        return kit.CarrierCall(fields.get("CallSid", ""), fields.get("From"), fields.get("To"))

    def document(self, stream_url: str) -> kit.Document:
        codec = self._config.codec
        return kit.connect_stream(
            stream_url,
            track="inbound_track",
            codec=codec,
            bidirectionalMode="rtp",  # without it, Telnyx drops the bot's audio
            bidirectionalCodec=codec,
            bidirectionalSamplingRate=str(FORMATS[codec].rate),
        )

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        return TelnyxStream(self._config.codec)

    def hangup(self, start: kit.CarrierStart) -> kit.RestCall | None:
        config = self._config
        if config.api_key is None or not kit.is_plain_id(start.call_id):
            return None
        return kit.RestCall(
            "POST",
            f"{config.api_url}/v2/calls/{start.call_id}/actions/hangup",
            headers={"Authorization": f"Bearer {config.api_key}"},
            over=frozenset({404, 422}),  # 422: the call has ended already
        )
