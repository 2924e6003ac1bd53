"""The flow of a message: the transport, address and port that it comes from or goes to. No I/O.

Its tests are those of the calls (`tests/gateway/sip/dialog`) and of the endpoint.

Source: RFC 3261, sections 18 and 19.1.2; RFC 3263 is not followed: neither NAPTR nor SRV records are asked
for.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from piopiy_pipeline.gateway.access.networks import in_networks, parse_address, parse_network
from piopiy_pipeline.gateway.sip.syntax.uri import SipUri, escaped_user

__all__ = ["Flow", "Transport", "flow_of", "is_private"]

Transport = Literal["udp", "tcp", "tls"]

_PRIVATE = tuple(
    parse_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


class Flow(NamedTuple):
    """The transport, address and port of a peer. `host` is an address, or a name that is not resolved yet."""

    transport: Transport
    host: str
    port: int

    @property
    def reliable(self) -> bool:
        """Whether the transport repeats what is lost."""
        return self.transport != "udp"

    def uri(self, user: str) -> str:
        """Return the ``sip:`` URI of a number or name at the other end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        transport = f";transport={self.transport}" if self.reliable else ""
        return f"sip:{escaped_user(user)}@{host}:{self.port}{transport}"


def flow_of(uri: str, default: Flow) -> Flow:
    """Find where a request to a URI goes.

    Args:
        uri: A ``sip:`` or ``sips:`` URI. A name in it stands for one of its addresses in the DNS.
        default: Gives the transport when the URI names none.

    Raises:
        ValueError: `uri` cannot be read, or has no host.
    """
    parsed = SipUri.parse(uri)
    named = parsed.parameters.get("transport", "").lower()
    transport = default.transport
    if parsed.scheme == "sips" or named == "tls":
        transport = "tls"
    elif named == "tcp":
        transport = "tcp"
    elif named == "udp":
        transport = "udp"
    if not parsed.host:
        raise ValueError(f"no host to send to: {uri[:80]!r}")
    return Flow(transport, parsed.host, parsed.port or (5061 if transport == "tls" else 5060))


def is_private(host: str) -> bool | None:
    """Return whether an address is valid in a private network only (RFC 1918, 6598, 4193); None for a name."""
    return None if parse_address(host) is None else in_networks(host, _PRIVATE)
