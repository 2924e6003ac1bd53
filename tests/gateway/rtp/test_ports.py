"""Ports for voice: pairs, in turn, given back, and an error that says what is used up."""

from __future__ import annotations

import socket

import pytest

from piopiy_pipeline.gateway.rtp.ports import MediaSockets, NoPortError, PortPool


def free_even_port(pairs: int) -> int:
    """The first of so many pairs of ports that nobody has just now."""
    for port in range(40_000, 60_000, 2 * pairs):
        held = []
        try:
            for each in range(port, port + 2 * pairs):
                held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                held[-1].bind(("127.0.0.1", each))
        except OSError:
            continue
        else:
            return port
        finally:
            for one in held:
                one.close()
    raise AssertionError("no ports")


def test_a_call_has_an_even_port_and_the_one_above_it() -> None:
    pair = PortPool("127.0.0.1", 40_001, 60_001).open()
    try:
        assert pair.port % 2 == 0
        assert pair.rtcp.getsockname() == ("127.0.0.1", pair.port + 1)
        assert not pair.rtp.getblocking()
    finally:
        pair.close()


def test_ports_are_taken_in_turn_so_that_a_call_does_not_hear_the_one_before() -> None:
    first = free_even_port(3)
    pool = PortPool("127.0.0.1", first, first + 5)
    ports = []
    for _ in range(4):
        pair = pool.open()
        ports.append(pair.port)
        pair.close()
    assert sorted(ports[:3]) == [first, first + 2, first + 4]
    assert ports[3] == ports[0]


def test_when_all_are_taken_the_error_says_which_and_one_that_is_given_back_is_found() -> None:
    first = free_even_port(2)
    pool = PortPool("127.0.0.1", first, first + 3)
    pairs: list[MediaSockets] = [pool.open(), pool.open()]
    with pytest.raises(NoPortError, match=f"{first} to {first + 3}"):
        pool.open()
    pairs.pop().close()
    pairs.append(pool.open())
    for pair in pairs:
        pair.close()


def test_a_pair_of_which_somebody_has_one_is_passed_over() -> None:
    first = free_even_port(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + 1))
        pool = PortPool("127.0.0.1", first, first + 3)
        pair = pool.open()
        assert pair.port == first + 2
        with pytest.raises(NoPortError):
            pool.open()
        pair.close()


def test_an_interface_of_another_machine_is_an_error_at_once() -> None:
    with pytest.raises(OSError, match="assign"):
        PortPool("192.0.2.1", 40_000, 40_100).open()


def test_a_range_without_a_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="5001 to 5002"):
        PortPool("127.0.0.1", 5001, 5002)
