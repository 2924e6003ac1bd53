"""Addresses: `sip:`, `sips:` and `tel:` URIs, name-addr and parameters. No I/O.

**The rule** for what is accepted, in headers and in SDP alike: what is used must be right, and what is not used need
not be. So an empty parameter (``;`` at the end of a header), an empty entry of a list, and a parameter that nobody here
asks for may be malformed and are left out, and a parameter of `_USED` may not. Quotes and brackets have to close in
any case, because nobody can tell what a text behind an open one belongs to.

They are parsed here and not with sipmessage, because its host names cannot end in a digit (``pbx1``), and because
it writes parameters with other escapes: what a peer sent must go back to it as it was.

Source: RFC 3261, sections 19.1, 20.10 and 25.1; RFC 3966.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

__all__ = [
    "NameAddr",
    "SipUri",
    "UnknownScheme",
    "escaped_user",
    "parse_parameters",
    "quoted",
    "split_list",
    "unquoted",
]

_MAX_PARAMETERS = 64
_USED = frozenset(
    (
        *("tag", "branch", "received", "rport", "maddr", "transport", "lr", "expires", "refresher", "user"),
        *("ttl", "method", "q", "boundary"),
    )
)
"""The parameters that somebody here asks for, or that say where a message goes."""
_TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+", re.ASCII)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:", re.ASCII)
_HOST = re.compile(
    r"(?:[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_\-]*[A-Za-z0-9_])?\.?",
    re.ASCII,
)
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{2,45}\]", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9A-Fa-f*#\-.()]+", re.ASCII)
_SEPARATORS = re.compile(r"[\-.()]")
_USER_SAFE = "-_.!~*'()&=+$,;?/"


class UnknownScheme(ValueError):
    """A URI of another scheme than `sip`, `sips` or `tel`: 416 when it is the Request-URI."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """A URI. `text` is as it was written; `user` has no escapes; `host` is empty for `tel`."""

    scheme: str
    user: str
    host: str
    port: int | None
    parameters: dict[str, str]
    text: str

    @property
    def number(self) -> str:
        """The user as a number without visual separators: ``+1-(555)0-1`` as ``+155501``."""
        user = self.user.split(";")[0]
        return (
            _SEPARATORS.sub("", user) if _NUMBER.fullmatch(user) and any(c.isdigit() for c in user) else user
        )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a URI.

        Raises:
            UnknownScheme: The scheme is neither `sip`, `sips` nor `tel`.
            ValueError: It is no URI.
        """
        match = _SCHEME.match(text)
        if match is None:
            raise ValueError(f"no URI: {text[:80]!r}")
        scheme = match.group()[:-1].lower()
        rest = text[match.end() :]
        if any(c.isspace() or c in "<>" for c in rest):
            raise ValueError(f"a URI with characters that none may have: {text[:80]!r}")
        if scheme == "tel":
            number, semicolon, parameters = rest.partition(";")
            if not _NUMBER.fullmatch(number):
                raise ValueError(f"no telephone number: {text[:80]!r}")
            return cls(scheme, number, "", None, parse_parameters(semicolon + parameters), text)
        if scheme not in ("sip", "sips"):
            raise UnknownScheme(f"a URI of the unknown kind {scheme!r}")
        userinfo, at, hostpart = rest.rpartition("@")
        if "@" in userinfo or '"' in userinfo or (at and not userinfo):
            raise ValueError(f"no user in a URI: {text[:80]!r}")
        hostpart = hostpart.partition("?")[0]
        address, semicolon, parameters = hostpart.partition(";")
        host, port = parse_host_port(address)
        user = unquote(userinfo.partition(":")[0], errors="replace")
        return cls(scheme, user, host, port, parse_parameters(semicolon + parameters), text)


@dataclass(frozen=True, slots=True)
class NameAddr:
    """An entry of From, To, Contact, Route and the like: a display name, a URI as written, and parameters."""

    name: str
    uri: str
    parameters: dict[str, str]

    @property
    def tag(self) -> str:
        """The tag parameter; empty when there is none."""
        return self.parameters.get("tag", "")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an entry, with or without angle brackets. Raises `ValueError` when it is malformed."""
        text = text.strip()
        name = ""
        if text.startswith('"'):
            name, end = _quoted_string(text)
            text = text[end:].lstrip()
            if not text.startswith("<"):
                raise ValueError("a display name without a URI in angle brackets")
        bracket = text.find("<")
        if bracket >= 0:
            if not name:
                name = " ".join(text[:bracket].split())
            closed = text.find(">", bracket)
            if closed < 0:
                raise ValueError("an angle bracket that is never closed")
            uri, rest = text[bracket + 1 : closed], text[closed + 1 :]
        else:  # RFC 3261, 20.10: without brackets the parameters are the header's, and some characters are forbidden
            uri, semicolon, parameters = text.partition(";")
            uri, rest = uri.strip(), semicolon + parameters
            if "?" in uri or "," in uri:
                raise ValueError("a URI with '?' or ',' outside of angle brackets")
        if (
            not _SCHEME.match(uri)
            or any(c.isspace() or c == "<" for c in uri)
            or '"' in uri.partition(";")[0]
        ):
            raise ValueError(f"no URI: {uri[:80]!r}")
        return cls(name, uri, parse_parameters(rest))


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Parse ``host``, ``host:port`` or ``[v6]:port``. Returns the host without brackets. Raises `ValueError`."""
    if text.startswith("["):
        match = _IPV6.match(text)
        if match is None:
            raise ValueError(f"no IPv6 address: {text[:80]!r}")
        host, rest = match.group()[1:-1], text[match.end() :]
        if rest and not rest.startswith(":"):
            raise ValueError(f"no port: {rest[:20]!r}")
        port_text = rest[1:] if rest else None
    else:
        host, colon, port_text_ = text.partition(":")
        host, port_text = host.strip(), port_text_.strip() if colon else None
        if len(host) > 255 or not _HOST.fullmatch(host):
            raise ValueError(f"no host: {host[:80]!r}")
    if port_text is None:
        return host, None
    if not (
        port_text.isascii() and port_text.isdigit() and len(port_text) <= 5 and 0 < int(port_text) < 65_536
    ):
        raise ValueError(f"no port: {port_text[:20]!r}")
    return host, int(port_text)


def parse_parameters(text: str) -> dict[str, str]:
    """Parse ``;a=b;c="d";e``: names in lower case, values without quotes, "" without a value.

    Raises:
        ValueError: It is no list of parameters, or one that is used is malformed or there twice with different values.
    """
    text = text.strip()
    if not text:
        return {}
    if not text.startswith(";"):
        raise ValueError(f"no parameters: {text[:80]!r}")
    found: dict[str, str] = {}
    parts = _split(text[1:], ";")
    if len(parts) > _MAX_PARAMETERS:
        raise ValueError(f"more than {_MAX_PARAMETERS} parameters")
    for part in parts:
        name, _, value = part.partition("=")
        name = name.strip().lower()
        if not is_token(name):
            continue
        try:
            text = unquoted(value.strip())
        except ValueError:
            if name in _USED:
                raise
            continue
        if found.setdefault(name, text) != text and name in _USED:
            raise ValueError(f"two values of {name}: {part[:80]!r}")
    return found


def split_list(text: str, *, leave_out_empty: bool = False) -> list[str]:
    """Split a header into its entries at commas.

    Args:
        text: The value of the header.
        leave_out_empty: Leave empty entries out. In Via they are an error, because it says where a response goes.

    Raises:
        ValueError: A quote is never closed, or an entry is empty.
    """
    parts = [part.strip() for part in _split(text, ",")]
    if all(parts):
        return parts
    if not leave_out_empty:
        raise ValueError("an empty entry in a list")
    return [part for part in parts if part]


def _split(text: str, separator: str) -> list[str]:
    """Split outside of quotes and angle brackets, in linear time."""
    if '"' not in text and "<" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = 0
    for match in _PIECE.finditer(text):
        first = text[match.start()]
        if first == separator:
            parts.append(text[start : match.start()])
            start = match.end()
        elif first == '"' and match.end() == match.start() + 1:
            raise ValueError("a quote that is never closed")
    parts.append(text[start:])
    return parts


_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|<[^>]*>?|[",;]', re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def _quoted_string(text: str) -> tuple[str, int]:
    match = _QUOTED.match(text)
    if match is None:
        raise ValueError("a quote that is never closed")
    return _ESCAPE.sub(r"\1", match.group(1)), match.end()


def unquoted(text: str) -> str:
    """Take the quotes off a value, if it has any. Raises `ValueError` when they do not match."""
    if not text.startswith('"'):
        return text
    value, end = _quoted_string(text)
    if text[end:].strip():
        raise ValueError("characters behind a closing quote")
    return value


def quoted(text: str) -> str:
    """Write `text` as a quoted string, without the characters that could end a header."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def escaped_user(user: str) -> str:
    """Write `user` with the escapes that the part of a URI before the ``@`` needs."""
    return quote(user, safe=_USER_SAFE)


def is_token(text: str) -> bool:
    """Return whether `text` is a token (section 25.1)."""
    return _TOKEN.fullmatch(text) is not None
