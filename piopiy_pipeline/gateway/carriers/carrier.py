"""What a carrier is to the gateway: requests to be checked, a document that sends its call here, a stream.

One subclass a carrier, in the file of its name, together with the state machine of its stream. No I/O:
who carries requests and answers is `gateway.carriers.desk`.
"""

from __future__ import annotations

import base64
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

from pydantic_core import from_json

from piopiy_pipeline.gateway.access.access import AccessError, Header
from piopiy_pipeline.gateway.carriers.carrier_stream import CarrierStart, CarrierStream
from piopiy_pipeline.gateway.carriers.config import CarrierName

__all__ = ["Carrier", "CarrierCall", "CarrierRequest", "Document", "RestCall", "basic", "connect_stream"]

_ID = re.compile(r"[A-Za-z0-9_:=+-]{1,512}")


@dataclass(frozen=True)
class CarrierRequest:
    """A webhook, or the request that opens a stream. `url` is the one that the carrier used."""

    method: str
    url: str
    header: Header
    body: bytes = b""

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The parameters in the address, decoded, in order."""
        return pairs(urlsplit(self.url).query)

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The body as a form, decoded, in order; empty if it is none."""
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return []
        return pairs(self.body.decode("utf-8", errors="replace"))

    @cached_property
    def signed_fields(self) -> dict[str, str]:
        """Of the form, or else of the query: what signatures over addresses and forms cover, and no more."""
        return dict(self.form or self.query)

    @cached_property
    def fields(self) -> dict[str, str]:
        """What the webhook says: of its JSON, its form, or else its query."""
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind == "application/json" and self.body:
            try:
                said = from_json(self.body, allow_inf_nan=False)
            except ValueError:
                raise AccessError(422, "the body of this webhook is not JSON, although it says so") from None
            if not isinstance(said, dict):
                raise AccessError(422, "the body of this webhook is no JSON object")
            return {
                str(name): str(value) for name, value in said.items() if isinstance(value, str | int | float)
            }
        return self.signed_fields


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """Who calls, as a webhook tells it."""

    call_id: str = ""
    from_number: str | None = None
    to_number: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The answer to a webhook: what the carrier is to do with the call."""

    media_type: str
    body: str


@dataclass(frozen=True, slots=True)
class RestCall:
    """A request to the carrier's API."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] = field(default_factory=dict)
    over: frozenset[int] = frozenset({404})
    """Statuses that say that the call is over already."""


class Carrier(ABC):
    """One carrier of this gateway. The checks raise `AccessError`."""

    name: ClassVar[CarrierName]
    admission: ClassVar[Literal["signature", "ticket", "either"]] = "ticket"
    """What lets a stream in: the carrier's signature (a ticket of ours is then checked where there is one),
    a ticket, or either of the two."""
    own_query: ClassVar[frozenset[str]] = frozenset()
    """Parameters of the answer URL that are not the operator's for the call."""

    @abstractmethod
    def check_answer(self, request: CarrierRequest) -> None:
        """That this webhook comes from the carrier."""

    @abstractmethod
    def incoming(self, request: CarrierRequest) -> CarrierCall:
        """Who calls, of a webhook that was checked."""

    def parameters(self, request: CarrierRequest) -> dict[str, str]:
        """The operator's own, which the answer URL was given after its ``?``: metadata of the call."""
        if not request.body:
            return {}  # the carrier's own fields are among them, and cannot be told apart
        return {name: value for name, value in request.query if name not in self.own_query}

    @abstractmethod
    def document(self, stream_url: str) -> Document:
        """What has the carrier stream the call to `stream_url`."""

    def check_stream(self, request: CarrierRequest) -> None:
        """That the request that opens a stream comes from the carrier, where it can be told."""
        return

    @abstractmethod
    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        """The machine of a stream that was let in; `call` is what its ticket says."""

    def hangup(self, start: CarrierStart) -> RestCall | None:
        """The request that ends this call; None where closing the stream has to do."""
        return None


# ---------------------------------------------------------------------- for the carriers' files


def same(presented: str | None, expected: str) -> bool:
    """Compare secrets in constant time."""
    return presented is not None and hmac.compare_digest(
        presented.encode(errors="replace"), expected.encode(errors="replace")
    )


def same_as_any(presented: str, expected: Iterable[str]) -> bool:
    """Every one is compared, each in constant time."""
    return sum(same(presented, one) for one in expected) > 0


def basic(user: str, password: str) -> str:
    """The value of ``Authorization`` for these (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def is_id(text: str) -> bool:
    """Whether this can be part of an address as it is."""
    return _ID.fullmatch(text) is not None


def with_scheme(url: str, *, websocket: bool) -> str:
    """`url` as an address of a WebSocket, or of a page."""
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    scheme = ("wss" if secure else "ws") if websocket else ("https" if secure else "http")
    return urlunsplit(parts._replace(scheme=scheme))


def port_variants(url: str) -> set[str]:
    """`url` with and without its scheme's default port: carriers differ in which one they sign."""
    parts = urlsplit(url)
    default = 443 if parts.scheme in ("https", "wss") else 80
    if parts.port is None:
        return {url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}"))}
    if parts.port == default:
        return {url, urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))}
    return {url}


def xml_document(*parts: str) -> Document:
    """``<Response>`` with these elements."""
    body = '<?xml version="1.0" encoding="UTF-8"?>\n<Response>' + "".join(parts) + "</Response>\n"
    return Document("application/xml", body)


def connect_stream(url: str, **attributes: str) -> Document:
    """``<Connect><Stream>`` and then ``<Hangup>``: TwiML, and TeXML, which is made after it."""
    text = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return xml_document(f"<Connect><Stream url={quoteattr(url)}{text}/></Connect><Hangup/>")


def element(name: str, text: str, **attributes: str) -> str:
    """An XML element with text."""
    said = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{said}>{escape(text)}</{name}>"


def promoted(parameters: Mapping[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """Numbers that came as custom parameters (``from_number`` or ``from``, and so on), and all others."""
    rest = dict(parameters)
    numbers: list[str | None] = []
    for names in (("from_number", "from"), ("to_number", "to")):
        found = [str(rest.pop(name)) for name in names if name in rest]
        numbers.append(found[0][:128] if found and found[0] else None)
    return numbers[0], numbers[1], rest


def pairs(text: str) -> list[tuple[str, str]]:
    """A query or a form, decoded, in order. Raises `AccessError` for more than 200 parameters."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise AccessError(422, "more than 200 parameters") from None
