"""The base class of carriers: it checks webhooks, answers them with a document, and makes streams.

Each carrier has a subclass in a file of its own, together with the state machine of its stream. No I/O:
`CarrierGateway` handles the requests and answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, TypeVar
from urllib.parse import parse_qsl, urlsplit

from piopiy_pipeline.gateway.access.access import AccessError, Header
from piopiy_pipeline.gateway.access.strict_json import read_json
from piopiy_pipeline.gateway.carriers.carrier_stream import CarrierStart, CarrierStream
from piopiy_pipeline.gateway.carriers.config import CarrierName

__all__ = ["Carrier", "CarrierCall", "CarrierRequest", "Document", "RestCall", "parse_pairs", "text_fields"]

C = TypeVar("C")


@dataclass(frozen=True)
class CarrierRequest:
    """A webhook, or the request that opens a stream. `url` is the address that the carrier used."""

    method: str
    url: str
    header: Header
    body: bytes = b""

    @cached_property
    def query(self) -> list[tuple[str, str]]:
        """The parameters in the address, decoded, in order."""
        return parse_pairs(urlsplit(self.url).query)

    @cached_property
    def form(self) -> list[tuple[str, str]]:
        """The fields of a form in the body, decoded, in order. Empty if the body is no form."""
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            return []
        return parse_pairs(self.body.decode("utf-8", errors="replace"))

    @cached_property
    def signed_fields(self) -> dict[str, str]:
        """The form, or else the query: what a signature over address and form covers, and no more."""
        return dict(self.form or self.query)

    @cached_property
    def json_object(self) -> dict[str, Any]:
        """The JSON object in the body, with all that is nested in it. Raises `AccessError` if the body is none."""
        try:
            found = read_json(self.body)
        except ValueError:
            raise AccessError(422, "the body of this webhook is not JSON") from None
        if not isinstance(found, dict):
            raise AccessError(422, "the body of this webhook is no JSON object")
        return found

    @cached_property
    def fields(self) -> dict[str, str]:
        """The fields of the webhook: of its JSON, of its form, or else of its query. Raises `AccessError`.

        Of JSON only the outermost texts and numbers: `json_object` has what is nested.
        """
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        if kind == "application/json" and self.body:
            return text_fields(self.json_object)
        return self.signed_fields


@dataclass(frozen=True, slots=True)
class CarrierCall:
    """A call as a carrier's webhook describes it. `call_id` is the carrier's own."""

    call_id: str = ""
    from_number: str | None = None
    to_number: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The answer to a webhook. It tells the carrier what to do with the call."""

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
    """HTTP statuses that mean that the call is over already."""


class Carrier(ABC, Generic[C]):
    """One carrier of this gateway. `C` is the model of its settings."""

    name: ClassVar[CarrierName]
    admission: ClassVar[Literal["signature", "ticket", "either"]] = "ticket"
    """What admits a stream: the carrier's signature (a ticket is then checked too if there is one), a ticket of
    this gateway, or either of the two."""
    own_query: ClassVar[frozenset[str]] = frozenset()
    """Parameters of the answer URL that are the carrier's, and so do not become metadata of the call."""

    def __init__(self, config: C, wall: Callable[[], float]) -> None:
        """Args:
        config: The carrier's settings.
        wall: Unix time, in seconds.
        """
        self._config = config
        self._wall = wall

    @abstractmethod
    def check_answer(self, request: CarrierRequest) -> None:
        """Check that a webhook comes from the carrier. Raises `AccessError`."""

    @abstractmethod
    def incoming(self, request: CarrierRequest) -> CarrierCall:
        """Read who calls whom from a webhook that was checked. Raises `AccessError` if it does not say so."""

    def parameters(self, request: CarrierRequest) -> dict[str, str]:
        """The operator's own parameters, after the ``?`` of the answer URL. They become metadata of the call."""
        if not request.body:
            return {}  # a GET mixes them with the carrier's own fields
        return {name: value for name, value in request.query if name not in self.own_query}

    @abstractmethod
    def document(self, stream_url: str) -> Document:
        """Make the answer to a webhook, which has the carrier stream the call to `stream_url`."""

    def check_stream(self, request: CarrierRequest) -> None:
        """Check that the request that opens a stream comes from the carrier, if it can be checked.

        Raises:
            AccessError: It does not.
        """
        return

    @abstractmethod
    def stream(self, request: CarrierRequest, call: CarrierCall | None) -> CarrierStream:
        """Make the state machine of a stream that was admitted. `call` is what its ticket says, if it has one."""

    def hangup(self, start: CarrierStart) -> RestCall | None:
        """Return the API request that ends this call; None if only the stream can be closed."""
        return None


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """Decode a query or a form, in order. Raises `AccessError` for more than 200 parameters."""
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise AccessError(422, "more than 200 parameters") from None


def text_fields(values: object) -> dict[str, str]:
    """Return the texts and numbers in a JSON object, as text. Empty for whatever is no object."""
    if not isinstance(values, dict):
        return {}
    return {str(name): str(value) for name, value in values.items() if isinstance(value, str | int | float)}
