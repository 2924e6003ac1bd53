"""SIP messages that came: parsed with limits and checks, because anybody can send them. No I/O.

sipmessage gives the store of headers, the short names and CSeq. This module adds what a port that is open to
the world needs: limits before any work is done, folded lines, repeated headers, and a copy of everything as it
was written, because a response must carry Via, From and To exactly as they came.

Source: RFC 3261, sections 7, 18.3 and 20; RFC 4475 (torture test messages).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sipmessage import CSeq, Headers
from sipmessage.message import COMPACT_FORMS

from piopiy_pipeline.gateway.sip.syntax.body import session_part
from piopiy_pipeline.gateway.sip.syntax.uri import (
    NameAddr,
    is_token,
    parse_host_port,
    parse_parameters,
    split_list,
)

__all__ = [
    "MAX_HEADER_BYTES",
    "MAX_MESSAGE_BYTES",
    "MalformedMessage",
    "SipMessage",
    "SipRequest",
    "SipResponse",
    "Via",
    "clean",
    "parse",
    "parse_via",
]

MAX_MESSAGE_BYTES = 65_535
MAX_HEADER_BYTES = 32 * 1024
_MAX_HEADER_LINES = 256
_MAX_LISTED = 64
_COOKIE = "z9hG4bK"

_UNIQUE = ("from", "to", "call-id", "cseq", "content-length", "max-forwards", "content-type", "expires")


class Via(NamedTuple):
    """The topmost Via: who sent the message, and to which transaction it belongs."""

    transport: str
    host: str
    port: int | None
    parameters: dict[str, str]

    @property
    def branch(self) -> str:
        """The transaction's id, empty when it is not one of RFC 3261."""
        branch = self.parameters.get("branch", "")
        return branch if branch.startswith(_COOKIE) and len(branch) > len(_COOKIE) else ""


class MalformedMessage(ValueError):
    """A message that cannot be processed.

    Args:
        code: The status to refuse it with.
        reason: What is wrong with it.
        refusal: The request to refuse, as far as it could be read; None if no response can be sent to it.
    """

    def __init__(self, code: int, reason: str, refusal: SipRequest | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.refusal = refusal


@dataclass(slots=True)
class SipMessage:
    """What requests and responses have in common. Header names are looked up without regard to case."""

    headers: Headers
    body: bytes
    vias: list[str]
    via: Via
    call_id: str
    cseq: CSeq
    from_: NameAddr
    to: NameAddr

    def get(self, name: str) -> str:
        """Return the first value of a header, empty when it is missing."""
        return self.headers.get(name) or ""

    def listed(self, name: str) -> list[str]:
        """Return all entries of a header that is a list, over all of its lines. Raises `ValueError`."""
        entries: list[str] = []
        for line in self.headers.getlist(name):
            if line.strip():
                entries += split_list(line, leave_out_empty=True)
        if len(entries) > _MAX_LISTED:
            raise ValueError(f"more than {_MAX_LISTED} entries in {name}")
        return entries

    def addresses(self, name: str) -> list[NameAddr]:
        """Return the entries of Contact, Record-Route and the like. Raises `ValueError`."""
        return [NameAddr.parse(entry) for entry in self.listed(name)]

    @property
    def content_type(self) -> str:
        """The body's type in lower case, without parameters."""
        return self.get("Content-Type").partition(";")[0].strip().lower()

    def description(self) -> bytes:
        """The session description in the body, alone or as a part of it; empty if there is no body.

        Raises:
            NoDescription: The body is something else.
        """
        return session_part(self.get("Content-Type"), self.get("Content-Encoding"), self.body)


@dataclass(slots=True)
class SipRequest(SipMessage):
    """A request that was received."""

    method: str
    uri: str

    def transaction_key(self, method: str | None = None) -> tuple[str, ...]:
        """Return the key by which a request finds its server transaction (RFC 3261, section 17.2.3).

        Args:
            method: The method to match, for a CANCEL that looks for its INVITE. An ACK always looks for its INVITE.
        """
        method = method or ("INVITE" if self.method == "ACK" else self.method)
        via = self.via
        if via.branch:
            return via.branch, via.host.lower(), str(via.port), method
        return self.call_id, self.from_.tag, str(self.cseq.sequence), self.vias[0], method


@dataclass(slots=True)
class SipResponse(SipMessage):
    """A response that was received."""

    code: int
    phrase: str


def parse(data: bytes, *, stream: bool = False) -> SipRequest | SipResponse:
    """Parse one message.

    Args:
        data: The whole message.
        stream: True for a message of a connection, which was framed by its Content-Length; False for a datagram.

    Raises:
        MalformedMessage: It cannot be processed; says whether and how to refuse it.
    """
    if len(data) > MAX_MESSAGE_BYTES:
        raise MalformedMessage(513, f"a message of {len(data)} bytes")
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise MalformedMessage(400, "no empty line behind the headers")
    if len(head) > MAX_HEADER_BYTES:
        raise MalformedMessage(400, f"headers of {len(head)} bytes")
    # Bytes that are no UTF-8 go back as they came.
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    headers, problem = _headers(lines[1:])
    start = lines[0].split(" ")
    if lines[0].startswith("SIP/"):
        try:
            return _response(lines[0], _common(headers, body), problem)
        except MalformedMessage as error:
            raise MalformedMessage(400, str(error)) from None  # nobody replies to a response
    common = _common(headers, body)
    method = start[0]
    if not is_token(method) or "\0" in lines[0]:
        raise MalformedMessage(400, f"neither a request nor a response: {lines[0][:60]!r}")
    request = SipRequest(*common, method, start[1] if len(start) > 1 else "")
    try:
        _check(request, start, problem)
        request.body = _body(request, stream)
    except ValueError as error:
        raise MalformedMessage(400, str(error), request if method != "ACK" else None) from None
    if start[2].upper() != "SIP/2.0":
        raise MalformedMessage(505, f"version {start[2][:20]!r}", request if method != "ACK" else None)
    return request


def _response(line: str, common: _Common, problem: str) -> SipResponse:
    version, _, rest = line.partition(" ")
    code, _, phrase = rest.partition(" ")
    if version.upper() != "SIP/2.0" or len(code) != 3 or not (code.isascii() and code.isdigit()):
        raise MalformedMessage(400, f"no status line: {line[:60]!r}")
    response = SipResponse(*common, int(code), phrase.strip())
    try:
        response.body = _body(response, False)
    except ValueError as error:
        raise MalformedMessage(400, str(error)) from None
    if problem or not 100 <= response.code <= 699:
        raise MalformedMessage(400, problem or f"no status {code}")
    return response


_Common = tuple[Headers, bytes, list[str], Via, str, CSeq, NameAddr, NameAddr]


def _headers(lines: Sequence[str]) -> tuple[Headers, str]:
    """Return the headers, and the first fault in them after which the rest can still be read; "" if there is
    none.
    """
    if len(lines) > _MAX_HEADER_LINES:
        raise MalformedMessage(400, f"{len(lines)} lines of headers")
    unfolded: list[str] = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            if not unfolded:
                raise MalformedMessage(400, "headers begin with a folded line")
            unfolded[-1] += " " + line.strip()
        else:
            unfolded.append(line)
    headers = Headers()
    problem = ""
    for line in unfolded:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        if "\r" in value or "\n" in value:
            raise MalformedMessage(400, "a control character in a header")
        if not colon or not is_token(name):
            continue  # no header that anybody can ask for
        name = COMPACT_FORMS.get(name.lower(), name)
        if name.lower() in _UNIQUE and headers.get(name) is not None:
            problem = problem or f"{name} more than once"
            continue
        headers.add(name, value.strip(" \t"))
    return headers, problem


def _common(headers: Headers, body: bytes) -> _Common:
    """Return the fields that a response needs. Raises `MalformedMessage`, without a refusal if none can be
    built.
    """
    try:
        vias, via = _vias(headers)
        call_id = headers.get("Call-ID") or ""
        cseq = CSeq.parse(headers.get("CSeq") or "")
        from_ = NameAddr.parse(headers.get("From") or "")
        to = NameAddr.parse(headers.get("To") or "")
    except ValueError as error:
        raise _unreadable(headers, str(error)) from None
    if not call_id or len(call_id) > 512 or any(c.isspace() for c in call_id):
        raise _unreadable(headers, "no usable Call-ID")
    if not 0 <= cseq.sequence < 2**31:
        raise _unreadable(headers, "CSeq out of range")
    return headers, body, vias, via, call_id, cseq, from_, to


def _vias(headers: Headers) -> tuple[list[str], Via]:
    vias = [entry for line in headers.getlist("Via")[:_MAX_LISTED] for entry in split_list(line)]
    if not vias or len(vias) > _MAX_LISTED:
        raise ValueError(f"{len(vias)} Via entries")
    return vias, parse_via(vias[0])


_NOBODY = NameAddr("", "sip:anonymous@invalid", {})


def _unreadable(headers: Headers, reason: str) -> MalformedMessage:
    """Return the error for unreadable fields: refused with 400 where a Via says where to send that."""
    present = all(headers.get(name) for name in ("Via", "From", "To", "Call-ID", "CSeq"))
    method = (headers.get("CSeq") or "").split()[-1:] or [""]
    if not present or method[0] == "ACK" or not is_token(method[0]):
        return MalformedMessage(400, reason)
    try:
        vias, via = _vias(headers)
    except ValueError:
        return MalformedMessage(400, reason)
    remains = SipRequest(headers, b"", vias, via, "", CSeq(0, method[0]), _NOBODY, _NOBODY, method[0], "")
    return MalformedMessage(400, reason, remains)


def parse_via(text: str) -> Via:
    """Parse ``SIP/2.0/UDP host:port;branch=...`` with spaces wherever the grammar has them. Raises `ValueError`."""
    head, semicolon, parameters = text.partition(";")
    parts = [part.strip() for part in head.split("/", 2)]
    if len(parts) != 3 or parts[0].upper() != "SIP":
        raise ValueError(f"no Via of SIP: {text[:60]!r}")
    transport, _, sent_by = parts[2].partition(" ")
    host, port = parse_host_port(" ".join(sent_by.split()).replace(" :", ":").replace(": ", ":"))
    if not is_token(transport):
        raise ValueError(f"no transport in Via: {text[:60]!r}")
    return Via(transport.upper(), host, port, parse_parameters(semicolon + parameters))


def _check(request: SipRequest, start: Sequence[str], problem: str) -> None:
    if problem:
        raise ValueError(problem)
    if len(start) != 3 or not start[1]:
        raise ValueError("the first line is not METHOD URI VERSION")
    if request.cseq.method != request.method:
        raise ValueError(f"CSeq is of {request.cseq.method[:20]!r}, the request of {request.method[:20]!r}")
    hops = request.get("Max-Forwards")
    if hops and not (hops.isascii() and hops.isdigit() and len(hops) <= 9 and int(hops) <= 255):
        raise ValueError("Max-Forwards is no number up to 255")
    if not request.uri or any(c in '<>"' for c in request.uri):
        raise ValueError("no Request-URI")


def _body(message: SipMessage, stream: bool) -> bytes:
    """RFC 3261, 18.3: a datagram may be longer than its Content-Length says, never shorter."""
    length = message.headers.get("Content-Length")
    if length is None:
        return b"" if stream else message.body
    if not (length.isascii() and length.isdigit() and len(length) <= 6):
        raise ValueError("Content-Length is no number")
    if int(length) > len(message.body):
        raise ValueError(f"Content-Length {length}, but {len(message.body)} bytes came")
    return message.body[: int(length)]


def clean(text: str) -> str:
    """Make the text of a header safe for people, programs and databases: valid Unicode without control characters."""
    proper = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return proper if proper.isprintable() else "".join(c if c.isprintable() else " " for c in proper)
