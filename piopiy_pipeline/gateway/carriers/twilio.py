"""Twilio's Media Streams: µ-law at 8 kHz, base64 in JSON.

Messages: https://www.twilio.com/docs/voice/media-streams/websocket-messages
Signatures: https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.audio_format import PCMU
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    RestCall,
    basic,
    connect_stream,
    is_id,
    port_variants,
    promoted,
    same_as_any,
    with_scheme,
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
from piopiy_pipeline.gateway.carriers.config import CarrierName, TwilioConfig

__all__ = ["Twilio", "TwilioStream", "twilio_signature"]


class _TwilioFormat(CarrierMessage):
    encoding: str = "audio/x-mulaw"
    sampleRate: int = 8000
    channels: int = 1


class _TwilioStart(CarrierMessage):
    streamSid: Name
    callSid: Name
    accountSid: Name = ""
    customParameters: Parameters = Field(default_factory=dict)
    mediaFormat: _TwilioFormat = Field(default_factory=_TwilioFormat)


class TwilioStream(JsonStream):
    """One stream. It tells no numbers of its own: they come with the ticket, or as custom parameters."""

    EVENTS: ClassVar[Mapping[str, Event]] = {
        "connected": "connected",
        "start": "start",
        "media": "media",
        "dtmf": "dtmf",
        "mark": "mark",
        "stop": "stop",
    }

    def __init__(self) -> None:
        super().__init__(PCMU)

    def start(self, message: dict[str, Any]) -> CarrierStart:
        said = _TwilioStart.read(message.get("start"))
        sound = said.mediaFormat
        if (sound.encoding, sound.sampleRate, sound.channels) != ("audio/x-mulaw", 8000, 1):
            raise CarrierError(
                f"a stream of {sound.encoding} at {sound.sampleRate} Hz: only µ-law at 8000 is known"
            )
        from_number, to_number, parameters = promoted(said.customParameters)
        return CarrierStart(
            call_id=said.callSid,
            stream_id=said.streamSid,
            account_id=said.accountSid,
            from_number=from_number,
            to_number=to_number,
            parameters=parameters,
        )

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "streamSid": self.stream_id, "media": {"payload": payload}}

    def clear(self) -> list[Wire]:
        return [dumps({"event": "clear", "streamSid": self.stream_id})]

    def mark(self, name: str) -> list[Wire]:
        return [dumps({"event": "mark", "streamSid": self.stream_id, "mark": {"name": name}})]


class Twilio(Carrier):
    """Signs webhooks and the requests that open streams alike."""

    name: ClassVar[CarrierName] = "twilio"
    admission = "signature"

    def __init__(self, config: TwilioConfig, wall: Callable[[], float]) -> None:
        self._config = config

    def check_answer(self, request: CarrierRequest) -> None:
        self._check(request, port_variants(request.url))

    def check_stream(self, request: CarrierRequest) -> None:
        url = with_scheme(request.url, websocket=True)
        self._check(request, port_variants(url) | port_variants(f"{url}/"))

    def _check(self, request: CarrierRequest, urls: set[str]) -> None:
        presented = request.header("x-twilio-signature")
        if presented is None:
            raise AccessError(401, "this request has no X-Twilio-Signature")
        token = self._config.auth_token
        if not same_as_any(presented, (twilio_signature(token, url, request.form) for url in urls)):
            raise AccessError(
                403,
                "this request's X-Twilio-Signature is not Twilio's for this address: if it did come from"
                " Twilio, see that carriers.public_url and carriers.twilio.auth_token are right",
            )

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = request.signed_fields
        return CarrierCall(said.get("CallSid", ""), said.get("From"), said.get("To"))

    def document(self, stream_url: str) -> Document:
        return connect_stream(stream_url)

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        return TwilioStream()

    def hangup(self, start: CarrierStart) -> RestCall | None:
        config = self._config
        if config.account_sid is None or not is_id(start.call_id):
            return None
        return RestCall(
            "POST",
            f"{config.api_url}/2010-04-01/Accounts/{config.account_sid}/Calls/{start.call_id}.json",
            headers={"Authorization": basic(config.account_sid, config.auth_token)},
            form={"Status": "completed"},
        )


def twilio_signature(auth_token: str, url: str, form: list[tuple[str, str]]) -> str:
    """HMAC-SHA1 over the address and, sorted, each field's name and value."""
    said = url + "".join(f"{name}{value}" for name, value in sorted(set(form)))
    return base64.b64encode(hmac.new(auth_token.encode(), said.encode(), hashlib.sha1).digest()).decode(
        "ascii"
    )
