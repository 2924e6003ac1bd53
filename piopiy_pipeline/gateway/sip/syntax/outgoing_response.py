"""Responses of ours, built from the requests that they answer. No I/O.

Source: RFC 3261, sections 8.2.6, 18.2 and 21; RFC 3581 (rport).
"""

from __future__ import annotations

from collections.abc import Iterable

from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.syntax.message import SipRequest

__all__ = ["reached_via", "reason_phrase", "reply", "reply_flow"]

_PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    430: "Flow Failed",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    603: "Decline",
}


def reply_flow(request: SipRequest, source: Flow) -> Flow:
    """Return where the responses to a request from `source` are sent (RFC 3261, section 18.2.2; RFC 3581)."""
    if source.reliable or "rport" in request.via.parameters:
        return source
    return Flow(source.transport, source.host, request.via.port or 5060)


def reply(
    request: SipRequest,
    source: Flow,
    code: int,
    phrase: str = "",
    *,
    to_tag: str = "",
    headers: Iterable[tuple[str, str]] = (),
    content_type: str = "application/sdp",
    body: bytes = b"",
) -> bytes:
    """Build a response, with the headers that must come back as they were (RFC 3261, section 8.2.6.2).

    Args:
        request: The request to respond to.
        source: Where it came from.
        code: The status, 100 to 699.
        phrase: The reason phrase; that of RFC 3261 if it is empty.
        to_tag: Our tag, for a request that has none in its To.
        headers: Further headers.
        content_type: The type of `body`.
        body: The body, or nothing.

    Returns:
        The message as it goes on the wire.
    """
    lines = [f"SIP/2.0 {code} {phrase or _PHRASES.get(code, 'Unknown')}"]
    lines.append(f"Via: {reached_via(request, source)}")
    lines += [f"Via: {via}" for via in request.vias[1:]]
    lines.append(f"From: {request.get('From')}")
    tag = f";tag={to_tag}" if to_tag and not request.to.tag else ""
    lines.append(f"To: {request.get('To')}{tag}")
    lines.append(f"Call-ID: {request.get('Call-ID')}")
    lines.append(f"CSeq: {request.get('CSeq')}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body:
        lines.append(f"Content-Type: {content_type}")
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def reached_via(request: SipRequest, source: Flow) -> str:
    """Return the topmost Via with the address that the request really came from (RFC 3261, 18.2.1; RFC 3581, 4)."""
    head, *parameters = request.vias[0].split(";")
    asks = "rport" in request.via.parameters
    kept = [p for p in parameters if p.partition("=")[0].strip().lower() not in ("rport", "received")]
    if asks:
        kept.append(f"rport={source.port}")
    if asks or request.via.host != source.host:
        kept.append(f"received={source.host}")
    return ";".join([head.rstrip(), *(p.strip() for p in kept)])


def reason_phrase(text: str) -> str:
    """Make a reason phrase for the status line: at most 100 printable ASCII characters of `text`."""
    return "".join(c for c in text if c.isascii() and c.isprintable())[:100]
