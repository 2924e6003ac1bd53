"""Vonage's Voice API: 16-bit samples in binary messages of 20 ms, everything else in JSON beside them.

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

from piopiy_pipeline.audio.playout import FRAME_MS
from piopiy_pipeline.gateway.access.access import AccessError, bearer_token
from piopiy_pipeline.gateway.carriers.audio_format import l16
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    promoted,
    same,
)
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierAudio,
    CarrierError,
    CarrierMessage,
    CarrierStart,
    CarrierStream,
    Heard,
    MalformedStreamMessage,
    MarkPlayed,
    StreamStopped,
    Wire,
    check_parameters,
    dumps,
    keys,
    parse_object,
)
from piopiy_pipeline.gateway.carriers.config import CarrierName, VonageConfig
from piopiy_pipeline.gateway.carriers.tickets import ReplayGuard

__all__ = ["Vonage", "VonageStream"]

TOLERANCE_S = 300
"""How old, or early, a webhook's token may be."""
_REQUIRED = ["iat", "jti"]


class _Connected(CarrierMessage):
    content_type: str = Field(alias="content-type")


class VonageStream(CarrierStream):
    """One stream. `call` is what its ticket says: the stream itself names no call."""

    def __init__(self, rate: int, call: CarrierCall) -> None:
        self.format = l16(rate)
        self._call = call
        self._started = False

    def text(self, data: bytes) -> list[Heard]:
        message = parse_object(data)
        match message.get("event"):
            case "websocket:connected":
                return [self._start(message)]
            case "websocket:dtmf" if self._started:
                nested = message.get("dtmf")
                return keys(message.get("digit") or (isinstance(nested, dict) and nested.get("digit")))
            case "websocket:notify" if self._started:
                payload = message.get("payload")
                name = payload.get("mark") if isinstance(payload, dict) else None
                return [MarkPlayed(name)] if isinstance(name, str) else []
            case "websocket:disconnected" | "websocket:closed":
                return [StreamStopped()]
        return []

    def _start(self, message: dict[str, Any]) -> CarrierStart:
        if self._started:
            raise CarrierError("a second websocket:connected on one stream")
        told = _Connected.read(message).content_type.replace(" ", "").lower()
        if told != f"audio/l16;rate={self.format.rate}":
            raise CarrierError(
                f"a stream of {told!r:.100}: the settings ask for audio/l16;rate={self.format.rate};"
                " see carriers.vonage.sample_rate"
            )
        # The headers of the NCCO stand beside these two.
        said = {name: value for name, value in message.items() if name not in ("event", "content-type")}
        check_parameters(said)
        from_number, to_number, parameters = promoted(said)
        self._started = True
        return CarrierStart(
            call_id=self._call.call_id, from_number=from_number, to_number=to_number, parameters=parameters
        )

    def binary(self, data: bytes) -> list[Heard]:
        if len(data) % 2:
            raise MalformedStreamMessage(f"sound of {len(data)} bytes, which is half a sample too much")
        return [CarrierAudio(data)] if self._started and data else []

    def audio(self, frame: bytes) -> list[Wire]:
        # Pieces of another size are played with noise.
        return [frame.ljust(self.format.rate * FRAME_MS // 1000 * 2, b"\0")]

    def clear(self) -> list[Wire]:
        return [dumps({"action": "clear"})]

    def mark(self, name: str) -> list[Wire]:
        return [dumps({"action": "notify", "payload": {"mark": name}})]


class Vonage(Carrier):
    """Signs webhooks with a JSON Web Token. Streams are let in by tickets."""

    name: ClassVar[CarrierName] = "vonage"

    def __init__(self, config: VonageConfig, wall: Callable[[], float]) -> None:
        self._config = config
        self._wall = wall
        self._once = ReplayGuard()

    def check_answer(self, request: CarrierRequest) -> None:
        token = bearer_token(request.header)
        if token is None:
            raise AccessError(401, "this request has no signature in Authorization: Bearer")
        try:
            # The time is asked for below, on the clock that was given to us.
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
            raise AccessError(
                403,
                "this request's signature is not Vonage's: see that carriers.vonage.signature_secret is right",
            ) from None
        self._check_claims(claims, request)
        now = self._wall()
        if not abs(now - made_at) <= TOLERANCE_S:
            raise AccessError(403, f"this request was signed more than {TOLERANCE_S} s ago, or is to be")
        if not self._once.take(used, made_at + TOLERANCE_S, now):
            raise AccessError(403, "this request was made before: its signature is used up")

    def _check_claims(self, claims: dict[str, Any], request: CarrierRequest) -> None:
        application = self._config.application_id
        if application is not None and claims.get("application_id") != application:
            raise AccessError(403, "this request is another Vonage application's")
        # Of a GET, what is hashed is a rendering of the query: TLS is what protects that.
        if request.body and not same(
            str(claims.get("payload_hash", "")).lower(), hashlib.sha256(request.body).hexdigest()
        ):
            raise AccessError(403, "the body of this request is not the one that was signed")

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = request.fields
        return CarrierCall(said.get("uuid", ""), said.get("from"), said.get("to"))

    def document(self, stream_url: str) -> Document:
        endpoint = {
            "type": "websocket",
            "uri": stream_url,
            "content-type": f"audio/l16;rate={self._config.sample_rate}",
        }
        return Document("application/json", json.dumps([{"action": "connect", "endpoint": [endpoint]}]))

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        return VonageStream(self._config.sample_rate, call or CarrierCall())
