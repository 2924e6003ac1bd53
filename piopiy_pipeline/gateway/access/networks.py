"""Network addresses as keys: every place that counts, trusts or compares a peer's address does it through here.

A socket that listens on ``::`` shows an IPv4 peer as the IPv4-mapped address ``::ffff:a.b.c.d`` (RFC 4291,
section 2.5.5.2), which is the same peer as ``a.b.c.d`` and must not be taken for one of an IPv6 network.
And who has one IPv6 address has 2**64 of them: what counts peers counts IPv6 by the network of 64 bits.

The module imports nothing of the gateway, so that SIP, RTP, the API and the port can all use it. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = [
    "canonical_host",
    "client_network",
    "in_networks",
    "is_loopback",
    "parse_address",
    "parse_network",
    "socket_host",
]

_MAPPED_PREFIX = 96
"""How many bits of an IPv4-mapped address stand before those of the IPv4 address."""


def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that `host` is, an IPv4-mapped one as IPv4; None for a name and for nonsense."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def parse_network(text: str) -> IPv4Network | IPv6Network:
    """Return the network ``address/bits``, an IPv4-mapped one as IPv4. Raises `ValueError` if it is none."""
    network = ip_network(text, strict=False)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_PREFIX:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))
    return network


def canonical_host(host: str) -> str:
    """Return the one way to write this address, without a zone. A name is returned as it is."""
    if ":" not in host:  # most are IPv4 addresses, which have one way only
        return host
    address = parse_address(host)
    return host if address is None else str(address)


def client_network(host: str | None) -> str:
    """Return what a peer is counted by: its IPv4 address, or the /64 network of its IPv6 address.

    Args:
        host: The peer's address as its socket tells it; None or a name where the address is unknown.

    Returns:
        The key, or an empty string where the address is unknown.
    """
    address = parse_address(host or "")
    if address is None:
        return ""
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address, 64), strict=False))
    return str(address)


def is_loopback(host: str | None) -> bool:
    """Return whether `host` is an address of this machine only. A name is not looked up, and is none."""
    address = parse_address(host or "")
    return address is not None and address.is_loopback


def in_networks(host: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    """Return whether the address `host` lies in one of `networks`, which `parse_network` made."""
    address = parse_address(host)
    return address is not None and any(address in network for network in networks)


def socket_host(host: str, *, ipv6: bool) -> str:
    """Return the address `host` as a socket wants it: one of `ipv6` takes an IPv4 address as a mapped one."""
    if ipv6 and ":" not in host and parse_address(host) is not None:
        return f"::ffff:{host}"
    return host
