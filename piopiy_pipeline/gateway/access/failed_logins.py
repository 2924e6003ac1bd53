"""Who guesses keys: how often an address was turned away lately. No I/O.

Keys are long enough that nobody guesses one; this is for those that somebody chose by hand. Loopback
is never counted: there sit a proxy that speaks for everybody, and programs that can read the key's file.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

__all__ = ["MAX_PER_MINUTE", "TOO_MANY", "FailedLogins", "network_of"]

TOO_MANY = "too many wrong keys came from your address: try again in a minute"

MAX_PER_MINUTE = 30
"""Wrong keys of one address; after that none of it is looked at, until the minute is over."""
_WINDOW_S = 60.0
_MAX_SOURCES = 4096


class FailedLogins:
    """Counts wrong keys by address. Every `now` is in seconds, of one clock; `host` may be unknown (None)."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def guesses(self, host: str | None, now: float) -> bool:
        """Whether so many wrong keys came from there that no more are looked at."""
        began, count = self._wrong.get(network_of(host), (now, 0))
        return now - began < _WINDOW_S and count >= MAX_PER_MINUTE

    def wrong(self, host: str | None, now: float) -> None:
        """A wrong key came from there."""
        network = network_of(host)
        if not network:
            return
        began, count = self._wrong.pop(network, (now, 0))
        if now - began >= _WINDOW_S:
            began, count = now, 0
        self._wrong[network] = began, count + 1
        if len(self._wrong) > _MAX_SOURCES:
            self._wrong.popitem(last=False)


def network_of(host: str | None) -> str:
    """Who is counted: an address, of IPv6 its network, since there are as many as one likes; '' is nobody."""
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return "" if address.is_loopback else str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return "" if address.is_loopback else str(address)
