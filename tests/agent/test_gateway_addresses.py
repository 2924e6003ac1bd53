"""Where an agent looks for a home, and in which order."""

from __future__ import annotations

import asyncio
import random

import pytest

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress, GatewayAddresses, gateway_urls

THREE = ("ws://10.0.0.1:7860", "ws://10.0.0.2:7860", "ws://10.0.0.3:7860")


def test_several_addresses_come_as_a_list_or_with_commas() -> None:
    assert gateway_urls("http://a:1, ws://b:2/") == ("ws://a:1", "ws://b:2")
    assert gateway_urls(["wss://a", "wss://a", "https://c"]) == ("wss://a", "wss://c")


@pytest.mark.parametrize("given", ["", "ws://a:1,", [], ["ftp://a"]])
def test_what_is_no_address_is_refused(given: str | list[str]) -> None:
    with pytest.raises(ValueError, match="the gateway's address"):
        gateway_urls(given)


@pytest.mark.parametrize("host", ["a..b", ".a", ".", f"{'x' * 64}.example"])
def test_a_host_that_nobody_can_look_up_is_refused_at_once(host: str) -> None:
    with pytest.raises(ValueError, match="is no host: between its dots stand 1 to 63 characters") as told:
        gateway_urls(f"ws://{host}:7860")
    assert not isinstance(told.value, UnicodeError)


@pytest.mark.parametrize(
    "host", ["a", "a.example.", "10.0.0.1", "[::1]", "[fe80::1%eth0]", "exämple.org", "under_score", "x" * 63]
)
def test_a_host_that_can_be_looked_up_is_taken(host: str) -> None:
    assert gateway_urls(f"ws://{host}:7860") == (f"ws://{host}:7860",)


def test_all_are_tried_before_the_agent_waits() -> None:
    async def scenario() -> None:
        addresses = GatewayAddresses(THREE, random.Random(1))
        tried = []
        for _ in THREE:
            tried.append((await addresses.next()).url)
            assert addresses.round_over is (len(tried) == 3)
        assert sorted(tried) == sorted(THREE)
        assert addresses.several

    asyncio.run(scenario())


def test_a_gateway_that_was_lost_is_tried_last() -> None:
    async def scenario() -> None:
        addresses = GatewayAddresses(THREE, random.Random(1))
        first = await addresses.next()
        addresses.lost(first)
        assert [await addresses.next() for _ in THREE][-1] == first

    asyncio.run(scenario())


def test_a_fleet_spreads_over_its_gateways() -> None:
    async def scenario() -> None:
        begun = {(await GatewayAddresses(THREE, random.Random(seed)).next()).url for seed in range(30)}
        assert begun == set(THREE)

    asyncio.run(scenario())


def test_each_address_of_a_name_is_tried_by_itself() -> None:
    async def scenario() -> None:
        async def resolve(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(0, 0, 0, "", (host, 7860)) for host in ("10.0.0.1", "10.0.0.2", "10.0.0.1")]

        asyncio.get_running_loop().getaddrinfo = resolve  # type: ignore[assignment, method-assign]
        addresses = GatewayAddresses(["ws://gateways.example:7860"], random.Random(1))
        found = {await addresses.next() for _ in range(2)}
        assert found == {GatewayAddress("ws://gateways.example:7860", f"10.0.0.{n}") for n in (1, 2)}
        assert addresses.round_over

    asyncio.run(scenario())
