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
from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit, urlunsplit

from piopiy_pipeline.gateway.carriers import kit
from piopiy_pipeline.gateway.carriers.config import CarrierName, PlivoConfig

__all__ = ["Plivo", "PlivoStream", "plivo_signature"]

NONCE_S = 600
"""How long a nonce is remembered, so that a request cannot be made again."""


class _PlivoFormat(kit.CarrierMessage):
    encoding: str
    sampleRate: int


class _PlivoStart(kit.CarrierMessage):
    callId: kit.Text
    streamId: kit.Text
    mediaFormat: _PlivoFormat
    accountId: kit.Text = ""


class PlivoStream(kit.JsonStream):
    """One stream of Plivo, in the format that its start message says. The numbers come with the ticket."""

    MARK_EVENT = "playedStream"

    def __init__(self) -> None:
        super().__init__(kit.PCMU)

    def start(self, message: dict[str, Any]) -> kit.CarrierStart:
        start = _PlivoStart.read(message.get("start"))
        self.format = _format(start.mediaFormat)
        from_number, to_number, parameters = kit.split_numbers(_extra_headers(message.get("extra_headers")))
        return kit.CarrierStart(
            call_id=start.callId,
            stream_id=start.streamId,
            account_id=start.accountId,
            from_number=from_number,
            to_number=to_number,
            parameters=parameters,
        )

    def mark_name(self, message: dict[str, Any]) -> str:
        return kit.string_in(message, "name")

    def media(self, payload: str) -> dict[str, Any]:
        kind = "audio/x-mulaw" if self.format.coding == "PCMU" else "audio/x-l16"
        media = {"contentType": kind, "sampleRate": self.format.rate, "payload": payload}
        return {"event": "playAudio", "media": media}

    def clear(self) -> list[kit.Wire]:
        return [{"event": "clearAudio", "streamId": self.stream_id}]

    def mark(self, name: str) -> list[kit.Wire]:
        return [{"event": "checkpoint", "streamId": self.stream_id, "name": name}]

    def dtmf(self, digits: str) -> list[kit.Wire]:
        return [{"event": "sendDTMF", "dtmf": digits}]


def _format(media: _PlivoFormat) -> kit.AudioFormat:
    if media.encoding == "audio/x-mulaw" and media.sampleRate == 8000:
        return kit.PCMU
    if media.encoding == "audio/x-l16" and media.sampleRate in (8000, 16000):
        return kit.l16(media.sampleRate)
    raise kit.CarrierError(f"a stream of {media.encoding} at {media.sampleRate} Hz, which is not known")


def _extra_headers(text: Any) -> dict[str, str]:
    """Parse ``a=1;b=2``, percent-encoded. Older pages of the documentation separate with commas."""
    texts = re.split("[;,]", text.strip("{} ")) if isinstance(text, str) else []
    split = (pair.partition("=") for pair in texts)
    return {name.strip(): unquote(value.strip()) for name, sign, value in split if sign and name.strip()}


class Plivo(kit.Carrier[PlivoConfig]):
    """Plivo signs webhooks and the requests that open streams in the same way, each with a nonce."""

    name: ClassVar[CarrierName] = "plivo"
    admission = "signature"

    def __init__(self, config: PlivoConfig, wall: Callable[[], float]) -> None:
        super().__init__(config, wall)
        self._replays = kit.ReplayGuard()

    def check_answer(self, request: kit.CarrierRequest) -> None:
        self._check(request, kit.port_variants(request.url))

    def check_stream(self, request: kit.CarrierRequest) -> None:
        # The documentation shows no example: the URL may be signed as wss:// or as https://.
        schemes = (kit.with_scheme(request.url, websocket=websocket) for websocket in (True, False))
        self._check(request, {url for one in schemes for url in kit.port_variants(one)})

    def _check(self, request: kit.CarrierRequest, urls: set[str]) -> None:
        nonce = request.header("x-plivo-signature-v3-nonce")
        names = ("x-plivo-signature-v3", "x-plivo-signature-ma-v3")  # of the subaccount, and of the account
        presented = [one for name in names for one in (request.header(name) or "").split(",") if one]
        if nonce is None or not presented:
            raise kit.AccessError(
                401, "this request has no X-Plivo-Signature-V3 and X-Plivo-Signature-V3-Nonce"
            )
        token = self._config.auth_token
        expected = [plivo_signature(token, request.method, url, request.form, nonce) for url in urls]
        if not any(kit.is_one_of(one.strip(), expected) for one in presented):
            raise kit.AccessError(
                403,
                "this request's X-Plivo-Signature-V3 is not Plivo's for this address: if it did come from"
                " Plivo, see that carriers.public_url and carriers.plivo.auth_token are right",
            )
        now = self._wall()
        if not self._replays.take(nonce, now + NONCE_S, now):
            raise kit.AccessError(403, "this request was made before: its nonce is used up")

    def incoming(self, request: kit.CarrierRequest) -> kit.CarrierCall:
        fields = request.signed_fields
        return kit.CarrierCall(fields.get("CallUUID", ""), fields.get("From"), fields.get("To"))

    def document(self, stream_url: str) -> kit.Document:
        stream = kit.element(
            "Stream",
            stream_url,
            bidirectional="true",
            keepCallAlive="true",  # the elements after it are for when the stream has ended
            contentType=self._config.content_type,
        )
        return kit.xml_document(stream, "<Hangup/>")

    def stream(self, request: kit.CarrierRequest, call: kit.CarrierCall | None) -> kit.CarrierStream:
        return PlivoStream()

    def hangup(self, start: kit.CarrierStart) -> kit.RestCall | None:
        config = self._config
        if config.auth_id is None or not kit.is_plain_id(start.call_id):
            return None
        return kit.RestCall(
            "DELETE",
            f"{config.api_url}/v1/Account/{config.auth_id}/Call/{start.call_id}/",
            headers={"Authorization": kit.basic_auth(config.auth_id, config.auth_token)},
        )


def plivo_signature(
    auth_token: str, method: str, url: str, form: Iterable[tuple[str, str]], nonce: str
) -> str:
    """Compute Plivo's signature (V3): HMAC-SHA256 over URL, sorted query, for POST the sorted form, and the
    nonce.

    Args:
        auth_token: The account's secret.
        method: The HTTP method, ``GET`` or ``POST``.
        url: The whole URL of the request, as Plivo has it.
        form: The fields of the form, with their values.
        nonce: The nonce of the request.

    Returns:
        The signature in base64.
    """
    parts = urlsplit(url)
    query = "&".join(f"{name}={value}" for name, value in _sorted(kit.parse_pairs(urlsplit(url).query)))
    fields = "".join(f"{name}{value}" for name, value in _sorted(form)) if method == "POST" else ""
    signed = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if query or fields:
        signed += f"?{query}"
    if query and fields:
        signed += "."
    signed = f"{signed}{fields}.{nonce}"
    return base64.b64encode(hmac.new(auth_token.encode(), signed.encode(), hashlib.sha256).digest()).decode()


def _sorted(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    values: defaultdict[str, list[str]] = defaultdict(list)
    for name, value in pairs:
        values[name].append(value)
    return [(name, value) for name in sorted(values) for value in sorted(values[name])]
