"""The UDP ports of browsers' audio are in the range of the operator: with aioice itself, and with a whole worker.

If the first test fails after an update, aioice asks the loop for its sockets in another way: see
`gateway/webrtc/port_range.py`.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from typing import Any

import aioice
import pytest
import uvloop

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer, OfferRefused
from piopiy_pipeline.gateway.webrtc.port_range import UdpPorts, loop_of
from tests.support.browser_peer import CLAIMS, Browser, browser_calls
from tests.support.gateway_peers import config

LOOPS = [asyncio.SelectorEventLoop, uvloop.Loop]


def free_range(number: int) -> tuple[int, int]:
    """Find so many UDP ports in a row that nobody has."""
    for first in range(21_000, 30_000, number):
        try:
            taken = [bound(port) for port in range(first, first + number)]
        except OSError:
            continue
        for one in taken:
            one.close()
        return first, first + number - 1
    raise AssertionError("no ports")


def bound(port: int) -> socket.socket:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.bind(("127.0.0.1", port))
    except OSError:
        udp.close()
        raise
    return udp


@pytest.mark.parametrize("base", LOOPS)
def test_aioice_asks_the_loop_for_its_sockets_and_gets_ports_of_the_range(
    base: type[asyncio.AbstractEventLoop], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    first, last = free_range(4)
    ports = UdpPorts()

    async def gather() -> int:
        connection = aioice.Connection(ice_controlling=True)
        await connection.gather_candidates()
        [candidate] = connection.local_candidates
        await connection.close()
        return candidate.port

    async def story() -> None:
        ports.set(first, last)
        found = [await gather() for _ in range(5)]
        assert set(found) == set(range(first, last + 1)), (
            "aioice no longer calls create_datagram_endpoint(local_addr=(address, 0)): see port_range.py"
        )
        assert found[4] == found[0], "they are used in turn"

    with asyncio.Runner(loop_factory=lambda: loop_of(base, ports)) as runner:
        runner.run(story())


@pytest.mark.parametrize("base", LOOPS)
def test_taken_ports_are_passed_over_and_with_none_left_it_is_an_error(
    base: type[asyncio.AbstractEventLoop],
) -> None:
    first, last = free_range(3)
    ports = UdpPorts()

    async def port_of(address: tuple[str, int] | None, **more: Any) -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, address, **more)
        held.append(transport)
        port: int = transport.get_extra_info("sockname")[1]
        return port

    held: list[asyncio.BaseTransport] = []

    async def story() -> None:
        await port_of(("127.0.0.1", 0))  # no range is set yet
        ports.set(first, last)
        with bound(first + 1):
            assert {await port_of(("127.0.0.1", 0)) for _ in range(2)} == {first, last}
            with pytest.raises(OSError, match="webrtc_ports") as raised:
                await port_of(("127.0.0.1", 0))
            assert raised.value.errno == errno.EADDRINUSE
        other = free_range(1)[0] + 50
        assert await port_of(("127.0.0.1", other)) == other
        await port_of(None, remote_addr=("127.0.0.1", 9))
        for transport in held:
            transport.close()

    with asyncio.Runner(loop_factory=lambda: loop_of(base, ports)) as runner:
        runner.run(story())


@pytest.mark.realtime
@pytest.mark.usefixtures("only_loopback")
def test_a_worker_answers_with_ports_of_the_range_until_none_is_free() -> None:
    first, last = free_range(2)

    async def story() -> None:
        async with Gateway(config()) as gateway, browser_calls(gateway, ports=(first, last)) as calls:
            browsers = [Browser() for _ in range(3)]
            found = set()
            for browser in browsers[:2]:
                answer = await calls.offer(BrowserOffer(sdp=(await browser.offer()).sdp), CLAIMS)
                found |= set(re.findall(r"candidate:\S+ 1 udp \d+ \S+ (\d+) typ host", answer.sdp))
            assert {int(port) for port in found} == {first, last}
            with pytest.raises(OfferRefused, match="webrtc_ports") as raised:
                await calls.offer(BrowserOffer(sdp=(await browsers[2].offer()).sdp), CLAIMS)
            assert raised.value.status == 503
            for browser in browsers:
                await browser.close()

    asyncio.run(story())
