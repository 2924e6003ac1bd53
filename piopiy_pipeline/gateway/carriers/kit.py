"""Everything that a carrier's file needs, under one name: ``from piopiy_pipeline.gateway.carriers import kit``.

A carrier is one file with two classes:

- a `Carrier` checks the carrier's webhooks, answers them with a document that has the call streamed to this
  gateway, and may end a call through the carrier's API;
- a `CarrierStream` (mostly a `JsonStream`) parses and builds the messages of one stream.

Neither has I/O. docs/carriers.md says what operators set up; CONTRIBUTING.md has the steps for a new carrier, and
which of these files to copy for it.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from xml.sax.saxutils import escape, quoteattr

from piopiy_pipeline.gateway.access.access import AccessError, bearer_token
from piopiy_pipeline.gateway.carriers.audio_format import PCMA, PCMU, AudioFormat, l16
from piopiy_pipeline.gateway.carriers.carrier import (
    Carrier,
    CarrierCall,
    CarrierRequest,
    Document,
    RestCall,
    parse_pairs,
    text_fields,
)
from piopiy_pipeline.gateway.carriers.carrier_stream import (
    CarrierAudio,
    CarrierError,
    CarrierMessage,
    CarrierStart,
    CarrierStream,
    JsonStream,
    MalformedStreamMessage,
    MarkPlayed,
    Number,
    Parameters,
    StreamEvent,
    StreamStopped,
    Text,
    Wire,
    check_parameters,
    object_in,
    parse_base64,
    parse_digits,
    parse_object,
    string_in,
)
from piopiy_pipeline.gateway.carriers.tickets import ReplayGuard

__all__ = [
    "PCMA",
    "PCMU",
    "AccessError",
    "AudioFormat",
    "Carrier",
    "CarrierAudio",
    "CarrierCall",
    "CarrierError",
    "CarrierMessage",
    "CarrierRequest",
    "CarrierStart",
    "CarrierStream",
    "Document",
    "JsonStream",
    "MalformedStreamMessage",
    "MarkPlayed",
    "Number",
    "Parameters",
    "ReplayGuard",
    "RestCall",
    "StreamEvent",
    "StreamStopped",
    "Text",
    "Wire",
    "basic_auth",
    "bearer_token",
    "check_parameters",
    "connect_stream",
    "element",
    "is_one_of",
    "is_plain_id",
    "l16",
    "object_in",
    "parse_base64",
    "parse_digits",
    "parse_object",
    "parse_pairs",
    "port_variants",
    "same_secret",
    "split_numbers",
    "string_in",
    "text_fields",
    "with_scheme",
    "xml_document",
]

_ID = re.compile(r"[A-Za-z0-9_:=+-]{1,512}")


def same_secret(presented: str | None, expected: str) -> bool:
    """Return whether a presented secret is the expected one. Compares in constant time."""
    return presented is not None and hmac.compare_digest(
        presented.encode(errors="replace"), expected.encode(errors="replace")
    )


def is_one_of(presented: str, expected: Iterable[str]) -> bool:
    """Return whether a presented secret is one of these. Compares with each, in constant time."""
    return sum(same_secret(presented, one) for one in expected) > 0


def basic_auth(user: str, password: str) -> str:
    """Return the value of an ``Authorization: Basic`` header (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def is_plain_id(text: str) -> bool:
    """Return whether a text can be put into a URL's path without quoting."""
    return _ID.fullmatch(text) is not None


def with_scheme(url: str, *, websocket: bool) -> str:
    """Return `url` with the scheme ws(s) or http(s). Whether it is secure stays as it was."""
    parts = urlsplit(url)
    secure = parts.scheme in ("https", "wss")
    scheme = ("wss" if secure else "ws") if websocket else ("https" if secure else "http")
    return urlunsplit(parts._replace(scheme=scheme))


def port_variants(url: str) -> set[str]:
    """Return `url` with and without its scheme's default port, because carriers differ in which one they sign."""
    parts = urlsplit(url)
    default = 443 if parts.scheme in ("https", "wss") else 80
    if parts.port is None:
        return {url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}"))}
    if parts.port == default:
        return {url, urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))}
    return {url}


def xml_document(*parts: str) -> Document:
    """Return an XML document: ``<Response>`` with these elements."""
    body = '<?xml version="1.0" encoding="UTF-8"?>\n<Response>' + "".join(parts) + "</Response>\n"
    return Document("application/xml", body)


def connect_stream(url: str, **attributes: str) -> Document:
    """Return ``<Connect><Stream>`` and then ``<Hangup>``, in TwiML and in TeXML, which copies it.

    Args:
        url: The WebSocket that the carrier connects to.
        attributes: Further attributes of ``<Stream>``.
    """
    text = "".join(f" {name}={quoteattr(value)}" for name, value in attributes.items())
    return xml_document(f"<Connect><Stream url={quoteattr(url)}{text}/></Connect><Hangup/>")


def element(name: str, text: str, **attributes: str) -> str:
    """Return an XML element with text. Text and attributes are escaped."""
    written = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
    return f"<{name}{written}>{escape(text)}</{name}>"


def split_numbers(parameters: Mapping[str, Any]) -> tuple[str | None, str | None, dict[str, Any]]:
    """Take the numbers out of custom parameters.

    Args:
        parameters: An operator may have set ``from_number`` or ``from``, and ``to_number`` or ``to``.

    Returns:
        The caller's number, the number that was called, and the other parameters.
    """
    rest = dict(parameters)
    numbers: list[str | None] = []
    for names in (("from_number", "from"), ("to_number", "to")):
        given = [rest.pop(name, None) for name in names]
        numbers.append(next((str(one)[:128] for one in given if one not in (None, "")), None))
    return numbers[0], numbers[1], rest
