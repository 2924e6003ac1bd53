"""A peer's address as a key: one way to write it, IPv4-mapped addresses are IPv4, IPv6 counts by /64."""

from __future__ import annotations

import pytest

from piopiy_pipeline.gateway.access.networks import (
    canonical_host,
    client_network,
    in_networks,
    is_loopback,
    parse_address,
    parse_network,
    socket_host,
)


@pytest.mark.parametrize(
    ("host", "canonical", "network"),
    [
        ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7", "203.0.113.7"),
        ("0:0:0:0:0:FFFF:cb00:7107", "203.0.113.7", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::1", "fe80::/64"),
        ("phone.example", "phone.example", ""),
        ("", "", ""),
    ],
)
def test_an_address_is_written_in_one_way_and_counted_by_its_network(
    host: str, canonical: str, network: str
) -> None:
    assert canonical_host(host) == canonical
    assert client_network(host) == network


def test_who_is_unknown_has_no_network() -> None:
    assert client_network(None) == ""
    assert parse_address("nonsense:1") is None


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("192.0.2.1", False), (None, False)],
)
def test_loopback_is_known_in_all_ways_to_write_it(host: str | None, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_network_holds_an_address_in_both_ways_to_write_it_and_so_is_written_itself() -> None:
    for text in ("198.51.100.0/24", "::ffff:198.51.100.0/120"):
        assert in_networks("198.51.100.9", [parse_network(text)])
        assert in_networks("::ffff:198.51.100.9", [parse_network(text)])
        assert not in_networks("198.51.101.9", [parse_network(text)])
    assert not in_networks("::ffff:198.51.100.9", [parse_network("2001:db8::/32")])
    assert not in_networks("trunk.example", [parse_network("0.0.0.0/0")])


def test_a_socket_of_ipv6_is_given_mapped_addresses_and_one_of_ipv4_is_not() -> None:
    assert socket_host("203.0.113.7", ipv6=True) == "::ffff:203.0.113.7"
    assert socket_host("203.0.113.7", ipv6=False) == "203.0.113.7"
    assert socket_host("2001:db8::1", ipv6=True) == "2001:db8::1"
    assert socket_host("phone.example", ipv6=True) == "phone.example"
