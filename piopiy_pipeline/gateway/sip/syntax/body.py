"""The session description in the body of a message: alone, or as one part of a multipart body. No I/O.

Servers put what one telephone network tells the next (ISUP), locations and pictures beside the description. Nobody
needs them here, so the first part that is a session description counts, and the other parts are not read.

Source: RFC 3261, section 7.4; RFC 5621 (bodies in SIP); RFC 2046, section 5.1 (multipart).
"""

from __future__ import annotations

import base64
import binascii
import quopri
import re

__all__ = ["NoDescription", "session_part"]

_SDP = "application/sdp"
_MAX_PARTS = 32
_MAX_DEPTH = 3
_BOUNDARY = re.compile(r';\s*boundary\s*=\s*(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)


class NoDescription(ValueError):
    """The body is no session description and has none as a part (415 Unsupported Media Type)."""


def session_part(content_type: str, encoding: str, body: bytes) -> bytes:
    """Find the session description in a body.

    Args:
        content_type: The value of Content-Type with its parameters. Empty: the body tells.
        encoding: The value of Content-Encoding; empty for none.
        body: The body as it came.

    Returns:
        The session description, which was not parsed. Empty if the body is empty.

    Raises:
        NoDescription: There is none.
    """
    if not body.strip():
        return b""
    if encoding.strip().lower() not in ("", "identity"):
        raise NoDescription(f"a body with the encoding {encoding[:40]!r}")
    found = _find(content_type, "", body, _MAX_DEPTH)
    if found is None:
        raise NoDescription(f"no session description in a body of the type {content_type[:40]!r}")
    return found


def _find(content_type: str, transfer_encoding: str, body: bytes, depth: int) -> bytes | None:
    kind = content_type.partition(";")[0].strip().lower()
    if kind == _SDP or (not kind and body.lstrip().startswith(b"v=0")):
        return _decoded(transfer_encoding, body)
    boundary = _BOUNDARY.search(content_type)
    if not kind.startswith("multipart/") or boundary is None or not depth:
        return None
    for part in _parts(body, (boundary[1] or boundary[2]).encode("utf-8", "surrogateescape")):
        found = _find(*part, depth - 1)
        if found is not None:
            return found
    return None


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, str, bytes]]:
    """The parts, each with its Content-Type, Content-Transfer-Encoding and body."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    found: list[tuple[str, str, bytes]] = []
    start: int | None = None
    for mark in delimiter.finditer(body):
        if start is not None:
            found.append(_part(body[start : mark.start()]))
        start = mark.end()
        if mark[1] or len(found) >= _MAX_PARTS:
            return found
    if (
        start is not None
    ):  # the last delimiter is missing: what came is complete all the same (Content-Length)
        found.append(_part(body[start:]))
    return found


def _part(data: bytes) -> tuple[str, str, bytes]:
    data = re.sub(rb"\A\r?\n", b"", data)
    # A part without headers begins with an empty line.
    head, _, body = (b"", b"", data.lstrip(b"\r\n")) if data[:1] in b"\r\n" else _divided(data)
    headers: dict[str, str] = {}
    for line in re.sub(rb"\r?\n[ \t]+", b" ", head).splitlines():
        name, _, value = line.decode("utf-8", "surrogateescape").partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    content_type = headers.get("content-type", headers.get("c", ""))
    return content_type, headers.get("content-transfer-encoding", ""), body


def _divided(data: bytes) -> tuple[bytes, bytes, bytes]:
    end = re.search(rb"\r?\n\r?\n", data)
    return (data, b"", b"") if end is None else (data[: end.start()], end[0], data[end.end() :])


def _decoded(encoding: str, body: bytes) -> bytes | None:
    match encoding.lower():
        case "" | "binary" | "7bit" | "8bit":
            return body
        case "base64":
            try:
                return base64.b64decode(b"".join(body.split()), validate=True)
            except binascii.Error:
                return None
        case "quoted-printable":
            return quopri.decodestring(body)
    return None
