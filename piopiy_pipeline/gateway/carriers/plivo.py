"""Plivo's audio streams: µ-law or L16, base64 in JSON.

Messages: https://www.plivo.com/docs/voice-agents/audio-streaming/concepts/audio-streaming-reference
Signatures (V3): https://www.plivo.com/docs/voice/concepts/signature-validation
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from piopiy_pipeline.gateway.access.access import AccessError
from piopiy_pipeline.gateway.carriers.audio_format import PCMU, AudioFormat, l16
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    RestCall,
    basic,
    element,
    is_id,
    pairs,
    port_variants,
    promoted,
    same_as_any,
    with_scheme,
    xml_document,
)
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierError,
    CarrierMessage,
    CarrierStart,
    CarrierStream,
    Event,
    JsonStream,
    MalformedStreamMessage,
    Name,
    Wire,
    dumps,
)
from piopiy_pipeline.gateway.carriers.config import CarrierName, PlivoConfig
from piopiy_pipeline.gateway.carriers.tickets import ReplayGuard

__all__ = ["Plivo", "PlivoStream", "plivo_signature"]

NONCE_S = 600
"""How long a nonce is remembered, so that a request cannot be made again."""


class _PlivoFormat(CarrierMessage):
    encoding: str
    sampleRate: int


class _PlivoStart(CarrierMessage):
    callId: Name
    streamId: Name
    mediaFormat: _PlivoFormat
    accountId: Name = ""


class PlivoStream(JsonStream):
    """One stream, in the format that its start tells. Its numbers come with the ticket."""

    EVENTS: ClassVar[Mapping[str, Event]] = {
        "start": "start",
        "media": "media",
        "dtmf": "dtmf",
        "playedStream": "mark",
        "clearedAudio": "other",
        "stop": "stop",
    }

    def __init__(self) -> None:
        super().__init__(PCMU)

    def start(self, message: dict[str, Any]) -> CarrierStart:
        said = _PlivoStart.read(message.get("start"))
        self.format = _format(said.mediaFormat)
        from_number, to_number, parameters = promoted(_extra_headers(message.get("extra_headers")))
        return CarrierStart(
            call_id=said.callId,
            stream_id=said.streamId,
            account_id=said.accountId,
            from_number=from_number,
            to_number=to_number,
            parameters=parameters,
        )

    def marked(self, message: dict[str, Any]) -> str:
        name = message.get("name")
        if not isinstance(name, str):
            raise MalformedStreamMessage("a playedStream without name")
        return name

    def media(self, payload: str) -> dict[str, Any]:
        kind = "audio/x-mulaw" if self.format.coding == "PCMU" else "audio/x-l16"
        media = {"contentType": kind, "sampleRate": self.format.rate, "payload": payload}
        return {"event": "playAudio", "media": media}

    def clear(self) -> list[Wire]:
        return [dumps({"event": "clearAudio", "streamId": self.stream_id})]

    def mark(self, name: str) -> list[Wire]:
        return [dumps({"event": "checkpoint", "streamId": self.stream_id, "name": name})]

    def dtmf(self, digits: str) -> list[Wire]:
        return [dumps({"event": "sendDTMF", "dtmf": digits})]


def _format(told: _PlivoFormat) -> AudioFormat:
    if told.encoding == "audio/x-mulaw" and told.sampleRate == 8000:
        return PCMU
    if told.encoding == "audio/x-l16" and told.sampleRate in (8000, 16000):
        return l16(told.sampleRate)
    raise CarrierError(f"a stream of {told.encoding} at {told.sampleRate} Hz, which is not known")


def _extra_headers(text: Any) -> dict[str, str]:
    """``a=1;b=2``, percent-encoded; older documents separate with commas."""
    written = re.split("[;,]", text.strip("{} ")) if isinstance(text, str) else []
    split = (pair.partition("=") for pair in written)
    return {name.strip(): unquote(value.strip()) for name, sign, value in split if sign and name.strip()}


class Plivo(Carrier):
    """Signs webhooks and the requests that open streams alike, each with a nonce."""

    name: ClassVar[CarrierName] = "plivo"
    admission = "signature"

    def __init__(self, config: PlivoConfig, wall: Callable[[], float]) -> None:
        self._config = config
        self._wall = wall
        self._once = ReplayGuard()

    def check_answer(self, request: CarrierRequest) -> None:
        self._check(request, port_variants(request.url))

    def check_stream(self, request: CarrierRequest) -> None:
        # The documentation shows no example: its address may be signed as that of a page.
        schemes = (with_scheme(request.url, websocket=websocket) for websocket in (True, False))
        self._check(request, {url for one in schemes for url in port_variants(one)})

    def _check(self, request: CarrierRequest, urls: set[str]) -> None:
        nonce = request.header("x-plivo-signature-v3-nonce")
        names = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")  # of the subaccount, and of the account
        presented = [one for name in names for one in (request.header(name) or "").split(",") if one]
        if nonce is None or not presented:
            raise AccessError(401, "this request has no X-Plivo-Signature-V3 and X-Plivo-Signature-V3-Nonce")
        token = self._config.auth_token
        expected = [plivo_signature(token, request.method, url, request.form, nonce) for url in urls]
        if not any(same_as_any(one.strip(), expected) for one in presented):
            raise AccessError(
                403,
                "this request's X-Plivo-Signature-V3 is not Plivo's for this address: if it did come from"
                " Plivo, see that carriers.public_url and carriers.plivo.auth_token are right",
            )
        now = self._wall()
        if not self._once.take(nonce, now + NONCE_S, now):
            raise AccessError(403, "this request was made before: its nonce is used up")

    def incoming(self, request: CarrierRequest) -> CarrierCall:
        said = request.signed_fields
        return CarrierCall(said.get("CallUUID", ""), said.get("From"), said.get("To"))

    def document(self, stream_url: str) -> Document:
        stream = element(
            "Stream",
            stream_url,
            bidirectional="true",
            keepCallAlive="true",  # what follows is for when the stream has ended
            contentType=self._config.content_type,
        )
        return xml_document(stream, "<Hangup/>")

    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        return PlivoStream()

    def hangup(self, start: CarrierStart) -> RestCall | None:
        config = self._config
        if config.auth_id is None or not is_id(start.call_id):
            return None
        return RestCall(
            "DELETE",
            f"{config.api_url}/v1/Account/{config.auth_id}/Call/{start.call_id}/",
            headers={"Authorization": basic(config.auth_id, config.auth_token)},
        )


def plivo_signature(
    auth_token: str, method: str, url: str, form: Iterable[tuple[str, str]], nonce: str
) -> str:
    """HMAC-SHA256 over the address without its query, the query sorted, for POST the form sorted, and the nonce."""
    parts = urlsplit(url)
    query = "&".join(f"{name}={value}" for name, value in _sorted(pairs(urlsplit(url).query)))
    fields = "".join(f"{name}{value}" for name, value in _sorted(form)) if method == "POST" else ""
    said = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if query or fields:
        said += f"?{query}"
    if query and fields:
        said += "."
    said = f"{said}{fields}.{nonce}"
    return base64.b64encode(hmac.new(auth_token.encode(), said.encode(), hashlib.sha256).digest()).decode()


def _sorted(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return [(name, value) for name in sorted(values) for value in sorted(values[name])]
