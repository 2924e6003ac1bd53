"""Twilio's Media Streams: µ-law at 8 kHz, base64 in JSON.

Messages: https://www.twilio.com/docs/voice/media-streams/websocket-messages
Signatures: https://www.twilio.com/docs/usage/security#validating-requests
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any, ClassVar

from pydantic import Field

from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, TwilioConfig

__all__ = ["Twilio", "TwilioStream", "twilio_signature"]


class _TwilioFormat(kit.CarrierMessage):
    encoding: str = "audio/x-mulaw"
    sampleRate: int = 8000
    channels: int = 1


class _TwilioStart(kit.CarrierMessage):
    streamSid: kit.Text
    callSid: kit.Text
    accountSid: kit.Text = ""
    customParameters: kit.Parameters = Field(default_factory=dict)
    mediaFormat: _TwilioFormat = Field(default_factory=_TwilioFormat)


class TwilioStream(kit.JsonStream):
    """One stream of Twilio. The numbers come with the ticket, or as custom parameters."""

    def __init__(self) -> None:
        super().__init__(kit.PCMU)

    def start(self, message: dict[str, Any]) -> kit.CarrierStart:
        start = _TwilioStart.read(message.get("start"))
        media = start.mediaFormat
        if (media.encoding, media.sampleRate, media.channels) != ("audio/x-mulaw", 8000, 1):
            raise kit.CarrierError(
                f"a stream of {media.encoding} at {media.sampleRate} Hz: only µ-law at 8000 is known"
            )
        from_number, to_number, parameters = kit.split_numbers(start.customParameters)
        return kit.CarrierStart(
            call_id=start.callSid,
            stream_id=start.streamSid,
            account_id=start.accountSid,
            from_number=from_number,
            to_number=to_number,
            parameters=parameters,
        )

    def media(self, payload: str) -> dict[str, Any]:
        return {"event": "media", "streamSid": self.stream_id, "media": {"payload": payload}}

    def clear(self) -> list[kit.Wire]:
        return [{"event": "clear", "streamSid": self.stream_id}]

    def mark(self, name: str) -> list[kit.Wire]:
        return [{"event": "mark", "streamSid": self.stream_id, "mark": {"name": name}}]


class Twilio(kit.Carrier[TwilioConfig]):
    """Twilio signs webhooks and the requests that open streams in the same way."""

    name: ClassVar[CarrierName] = "twilio"
    admission = "signature"

    def check_answer(self, request: kit.CarrierRequest) -> None:
        self._check(request, kit.port_variants(request.url))

    def check_stream(self, request: kit.CarrierRequest) -> None:
        url = kit.with_scheme(request.url, websocket=True)
        self._check(request, kit.port_variants(url) | kit.port_variants(f"{url}/"))

    def _check(self, request: kit.CarrierRequest, urls: set[str]) -> None:
        presented = request.header("x-twilio-signature")
        if presented is None:
            raise kit.AccessError(401, "this request has no X-Twilio-Signature")
        token = self._config.auth_token
        if not kit.is_one_of(presented, (twilio_signature(token, url, request.form) for url in urls)):
            raise kit.AccessError(
                403,
                "this request's X-Twilio-Signature is not Twilio's for this address: if it did come from"
                " Twilio, see that carriers.public_url and carriers.twilio.auth_token are right",
            )

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = request.signed_fields
        return kit.CarrierCall(fields.get("CallSid", ""), fields.get("From"), fields.get("To"))

    def document(self, stream_url: str) -> kit.Document:
        return kit.connect_stream(stream_url)

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        return TwilioStream()

    def hangup(self, start: kit.CarrierStart) -> kit.RestCall | None:
        config = self._config
        if config.account_sid is None or not kit.is_plain_id(start.call_id):
            return None
        return kit.RestCall(
            "POST",
            f"{config.api_url}/2010-04-01/Accounts/{config.account_sid}/Calls/{start.call_id}.json",
            headers={"Authorization": kit.basic_auth(config.account_sid, config.auth_token)},
            form={"Status": "completed"},
        )


def twilio_signature(auth_token: str, url: str, form: list[tuple[str, str]]) -> str:
    """Compute Twilio's signature: HMAC-SHA1 over the URL and the name and value of each field, sorted.

    Args:
        auth_token: The account's secret.
        url: The whole URL of the request, as Twilio has it.
        form: The fields of the form, with their values.

    Returns:
        The signature in base64.
    """
    signed = url + "".join(f"{name}{value}" for name, value in sorted(set(form)))
    digest = hmac.new(auth_token.encode(), signed.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")
