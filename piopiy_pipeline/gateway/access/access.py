"""Access control of the API: operators' keys, an open console, and pages of other origins. No I/O.

One place for HTTP routes and for the WebSocket of events, which are served by different libraries.

A browser sends the cookies and reaches the loopback addresses of whoever sits before it, for any page
that asks. Against that stand two rules: a page of another origin is refused unless it is configured,
and an open console, which asks for no key and accepts no wrong one, answers only what is addressed to a
loopback name, so that no foreign name can be pointed at it (DNS rebinding), and nothing that a proxy
passed on.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from piopiy_pipeline.gateway.config import GatewayConfig

__all__ = ["Access", "AccessError", "Header", "bearer_token", "header_of"]

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

_PROXY_HEADERS = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")

Header = Callable[[str], str | None]
"""Looks up a request's header by its name, in any case."""


class AccessError(Exception):
    """Access is refused.

    Args:
        status: The HTTP status.
        text: A sentence that says what to do.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class Access:
    """Decides by the headers of a request. The methods that check raise `AccessError` or return nothing.

    Args:
        config: `api_keys`, `console`, `allowed_origins`, and the pages of the cluster.
    """

    def __init__(self, config: GatewayConfig) -> None:
        self._keys = tuple(config.api_keys)
        self._open = config.console == "open"
        self._origins = frozenset(config.known_origins)

    def check_origin(self, header: Header) -> None:
        """Raise `AccessError` for pages of an origin that is neither the gateway's own nor configured."""
        origin = header("origin")
        if origin is None or _same_origin(origin, header("host")) or origin.lower() in self._origins:
            return
        raise AccessError(
            403,
            f"pages of {origin[:200]!r} may not use this gateway:"
            " whoever runs it can add that to allowed_origins",
        )

    def is_operator(self, header: Header) -> bool:
        """Return whether the request has an API key, or needs none and has no other token."""
        return self._may(bearer_token(header), header)

    def is_open_to(self, header: Header) -> bool:
        """Return whether the console is open, and the request is one that needs no key there."""
        if not self._open or _hostname(header("host")) not in LOOPBACK_NAMES:
            return False
        if any(header(name) is not None for name in _PROXY_HEADERS):
            return False  # it came from elsewhere, through a proxy or a tunnel that gave it our name
        origin = header("origin")
        if origin is not None:
            return _same_origin(origin, header("host"))
        # What a page embeds is requested without an origin; this header says what kind of page it is.
        return header("sec-fetch-site") in (None, "none", "same-origin")

    def check_operator(self, header: Header) -> None:
        """Raise `AccessError` if the request has no API key and needs one, or has a token that is none."""
        token = bearer_token(header)
        if self._may(token, header):
            return
        if token is not None and self.is_open_to(header):
            raise AccessError(
                401, "this bearer token is no API key of this gateway: leave it out, none is needed"
            )
        if not self._keys and not self._open:
            raise AccessError(401, "this gateway has no API key: set api_keys, and send one of them")
        if token is not None:
            raise AccessError(401, "this bearer token is no API key of this gateway")
        raise AccessError(401, "send 'Authorization: Bearer <API key>'")

    def who(self, header: Header) -> str:
        """Return a short hash of the request's API key, which tells operators apart; empty without a key."""
        token = bearer_token(header)
        return hashlib.sha256(token.encode()).hexdigest()[:16] if token and self._is_key(token) else ""

    def check_watcher(self, key: str | None, header: Header) -> None:
        """Raise `AccessError` if a WebSocket may not watch: its key comes as a message, as browsers send no headers."""
        if not self._may(key, header):
            text = "no API key was sent" if key is None else "this is no API key of this gateway"
            raise AccessError(401, text)

    def _may(self, key: str | None, header: Header) -> bool:
        """Whoever shows a key means a gateway that has it: a wrong one is refused by an open console, too."""
        return self.is_open_to(header) if key is None else self._is_key(key)

    def _is_key(self, presented: str | None) -> bool:
        if presented is None:
            return False
        theirs = presented.encode(errors="replace")
        # Every key is compared, each in constant time.
        return sum(hmac.compare_digest(key.encode(), theirs) for key in self._keys) > 0


def bearer_token(header: Header) -> str | None:
    """Return the token that follows ``Authorization: Bearer``, or None without one."""
    scheme, _, token = (header("authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _same_origin(origin: str, host: str | None) -> bool:
    """Return whether a page of `origin` came from `host`; the scheme may be that of a proxy before us."""
    scheme, _, rest = origin.lower().partition("://")
    if host is None or scheme not in ("http", "https"):
        return False
    default = ":443" if scheme == "https" else ":80"
    return rest.removesuffix(default) == host.lower().removesuffix(default)


def _hostname(host: str | None) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return None


def header_of(items: Iterable[tuple[str, str]]) -> Header:
    """Return a look-up of headers from pairs of name and value. Of a header that came twice, it gives the first."""
    known: dict[str, str] = {}
    for name, value in items:
        known.setdefault(name.lower(), value)
    return known.get
