"""Vonage's Voice API: 16-bit samples in binary messages of 20 ms, and everything else in JSON text messages.

Messages: https://developer.vonage.com/en/voice/voice-api/concepts/websockets
Signatures: https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, ClassVar

import jwt
from pydantic import Field

from piopiy_pipeline.audio.frame import frame_bytes
from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, VonageConfig

__all__ = ["Vonage", "VonageStream"]

TOLERANCE_S = 300
"""How old, or early, a webhook's token may be."""
_REQUIRED = ["iat", "jti"]


class _Connected(kit.CarrierMessage):
    content_type: str = Field(alias="content-type")


class VonageStream(kit.CarrierStream):
    """One stream of Vonage. The stream itself names no call, so `call` is what its ticket says."""

    def __init__(self, rate: int, call: kit.CarrierCall) -> None:
        self.format = kit.l16(rate)
        self._call = call
        self._started = False

    def receive_text(self, data: bytes) -> list[kit.StreamEvent]:
        message = kit.parse_object(data)
        match message.get("event"):
            case "websocket:connected":
                return [self._start(message)]
            case "websocket:dtmf" if self._started:
                nested, digit = message.get("dtmf"), message.get("digit")
                return kit.parse_digits(
                    nested.get("digit") if digit is None and isinstance(nested, dict) else digit
                )
            case "websocket:notify" if self._started:
                payload = message.get("payload")
                name = payload.get("mark") if isinstance(payload, dict) else None
                return [kit.MarkPlayed(name)] if isinstance(name, str) else []
            case "websocket:disconnected" | "websocket:closed":
                return [kit.StreamStopped()]
        return []

    def _start(self, message: dict[str, Any]) -> kit.CarrierStart:
        if self._started:
            raise kit.CarrierError("a second websocket:connected on one stream")
        content_type = _Connected.read(message).content_type.replace(" ", "").lower()
        if content_type != f"audio/l16;rate={self.format.rate}":
            raise kit.CarrierError(
                f"a stream of {content_type!r:.100}: the settings ask for audio/l16;rate={self.format.rate};"
                " see carriers.vonage.sample_rate"
            )
        # The headers that the NCCO sets are fields beside these two.
        headers = {name: value for name, value in message.items() if name not in ("event", "content-type")}
        kit.check_parameters(headers)
        from_number, to_number, parameters = kit.split_numbers(headers)
        self._started = True
        return kit.CarrierStart(
            call_id=self._call.call_id, from_number=from_number, to_number=to_number, parameters=parameters
        )

    def receive_binary(self, data: bytes) -> list[kit.StreamEvent]:
        if len(data) % 2:
            raise kit.MalformedStreamMessage(f"audio of {len(data)} bytes, which is half a sample too much")
        return [kit.CarrierAudio(data)] if self._started and data else []

    def send_audio(self, pcm: bytes) -> list[kit.Wire]:
        # Vonage plays pieces of another size with noise.
        return [pcm.ljust(frame_bytes(self.format.rate), b"\0")]

    def clear(self) -> list[kit.Wire]:
        return [{"action": "clear"}]

    def mark(self, name: str) -> list[kit.Wire]:
        return [{"action": "notify", "payload": {"mark": name}}]


class Vonage(kit.Carrier[VonageConfig]):
    """Vonage signs webhooks with a JSON Web Token. Streams are admitted by tickets."""

    name: ClassVar[CarrierName] = "vonage"

    def __init__(self, config: VonageConfig, wall: Callable[[], float]) -> None:
        super().__init__(config, wall)
        self._replays = kit.ReplayGuard()

    def check_answer(self, request: kit.CarrierRequest) -> None:
        token = kit.bearer_token(request.header)
        if token is None:
            raise kit.AccessError(401, "this request has no signature in Authorization: Bearer")
        try:
            # The time is checked below, with the clock that was passed in.
            options: Any = {
                "require": _REQUIRED,
                "verify_exp": False,
                "verify_iat": False,
                "verify_aud": False,
            }
            # HMAC fills short keys up with zeros (RFC 2104, 2): the same key, without PyJWT's warning.
            secret = self._config.signature_secret.encode().ljust(32, b"\0")
            claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=options)
            made_at, used = float(claims["iat"]), str(claims["jti"])
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise kit.AccessError(
                403,
                "this request's signature is not Vonage's: see that carriers.vonage.signature_secret is right",
            ) from None
        self._check_claims(claims, request)
        now = self._wall()
        if not abs(now - made_at) <= TOLERANCE_S:
            raise kit.AccessError(403, f"this request was signed more than {TOLERANCE_S} s ago, or is to be")
        if not self._replays.take(used, made_at + TOLERANCE_S, now):
            raise kit.AccessError(403, "this request was made before: its signature is used up")

    def _check_claims(self, claims: dict[str, Any], request: kit.CarrierRequest) -> None:
        application = self._config.application_id
        if application is not None and claims.get("application_id") != application:
            raise kit.AccessError(403, "this request is another Vonage application's")
        # For a GET, Vonage hashes its own form of the query. TLS protects that one.
        if request.body and not kit.same_secret(
            str(claims.get("payload_hash", "")).lower(), hashlib.sha256(request.body).hexdigest()
        ):
            raise kit.AccessError(403, "the body of this request is not the one that was signed")

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = request.fields
        return kit.CarrierCall(fields.get("uuid", ""), fields.get("from"), fields.get("to"))

    def document(self, stream_url: str) -> kit.Document:
        endpoint = {
            "type": "websocket",
            "uri": stream_url,
            "content-type": f"audio/l16;rate={self._config.sample_rate}",
        }
        return kit.Document("application/json", json.dumps([{"action": "connect", "endpoint": [endpoint]}]))

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        return VonageStream(self._config.sample_rate, call or kit.CarrierCall())
