"""Our own address as a peer reaches it, and the addresses of names."""

from __future__ import annotations

import socket
import ssl
from collections import OrderedDict

from piopiy_pipeline.gateway.access.networks import parse_address
from piopiy_pipeline.gateway.sip.syntax.flow import is_private
from piopiy_pipeline.offload import offload

__all__ = ["SipAddresses"]

_FRESH_S = 60.0
_MAX_NAMES = 256
_ANYWHERE = "192.0.2.1"  # RFC 5737: nothing is sent there; it only asks for the route


class SipAddresses:
    """Finds our own address for a peer, and resolves the names of peers.

    Args:
        host: The interface on which we listen.
        external: The address that a NAT or a cloud gives us; None: there is none.
    """

    def __init__(self, host: str, external: str | None) -> None:
        self._host, self._external = host, external
        self._routes: OrderedDict[str, str] = OrderedDict()
        self._names: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def ours_for(self, peer: str) -> str:
        """Return the address by which `peer` reaches us: the external one, unless the peer is in a private
        network.
        """
        if self._external is not None and not is_private(peer):
            return self._external
        if self._host not in ("0.0.0.0", "::", ""):
            return self._host
        found = self._routes.get(peer)
        if found is None:
            found = _routed(peer)
            self._routes[peer] = found
            if len(self._routes) > _MAX_NAMES:
                self._routes.popitem(last=False)
        return found

    def known(self, host: str, now: float) -> str | None:
        """Return the address of `host` if it is an address, or was resolved within the last minute; otherwise
        None.
        """
        if parse_address(host) is not None:
            return host
        found = self._names.get(host)
        return found[1] if found is not None and now < found[0] else None

    async def find(self, host: str, now: float) -> str:
        """Resolve `host` to one address. Raises `OSError`."""
        known = self.known(host, now)
        if known is not None:
            return known
        address = (await self.all(host))[0]
        self._names.pop(host, None)
        self._names[host] = (now + _FRESH_S, address)
        if len(self._names) > _MAX_NAMES:
            self._names.popitem(last=False)
        return address

    async def all(self, host: str) -> list[str]:
        """Resolve `host` to all of its addresses, IPv4 first. Raises `OSError`."""
        return await offload(_resolve, host)

    async def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context for connections of ours, which checks certificates. A thread makes it,
        because it reads files.
        """
        return await offload(ssl.create_default_context)


def _resolve(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except UnicodeError as error:  # of a name with a part that is empty or too long
        raise OSError(f"{host} is no name of a host") from error
    # IPv4 first: what most interfaces are bound to.
    addresses = sorted({str(entry[4][0]) for entry in found}, key=lambda address: (":" in address, address))
    if not addresses:
        raise OSError(f"no address for {host}")
    return addresses


def _routed(peer: str) -> str:
    target = peer if parse_address(peer) is not None else _ANYWHERE
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
        except OSError:
            return "127.0.0.1"  # no network but our own
        return str(probe.getsockname()[0])
