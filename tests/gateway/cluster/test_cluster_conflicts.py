"""What is told when gateways of a cluster do not fit together, and that others see one of two that have one name."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.gateway.cluster.cluster import Cluster
from piopiy_pipeline.gateway.cluster.cluster_conflicts import MOST_CAUSES
from piopiy_pipeline.gateway.cluster.directory_messages import OtherVersion
from piopiy_pipeline.gateway.cluster.joining import digests
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryDirectory
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import EventBus
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import LIMITS, ModelCluster

KEYS = {"token_secret": "one", "api_keys": "one"}


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(lambda: scenario, limit_s=600)


@pytest.fixture
def errors() -> Iterator[list[str]]:
    found: list[str] = []
    sink = logger.add(lambda line: found.append(str(line)), level="ERROR", format="{message}")
    yield found
    logger.remove(sink)


async def joined(
    house: ModelCluster,
    key: str,
    name: str,
    url: str,
    keys: dict[str, str] | None = None,
    clock: float = 0.0,
) -> Cluster:
    """Return a gateway that has joined; the directory delivers to `key`, so that two may have one name."""
    loop = asyncio.get_running_loop()
    board = Switchboard(
        limits=LIMITS, max_calls=10, event_bus=EventBus(wall=lambda: 1e9 + loop.time() + clock)
    )
    cluster = Cluster(name, url, board, MemoryDirectory(house.broker, key), keys=keys or KEYS)
    await cluster.open()
    return cluster


def known(cluster: Cluster) -> dict[str, str]:
    return {one.gateway: one.url for one in cluster.others.there(asyncio.get_running_loop().time())}


def test_two_gateways_with_one_name_are_told_once_and_others_see_one_of_them(errors: list[str]) -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(1))
        third = await joined(house, "c", "c", "ws://c")
        first = await joined(house, "b", "b", "ws://b")
        await asyncio.sleep(5)
        second = await joined(house, "b2", "b", "ws://b2")
        seen = set()
        for _ in range(100):
            await asyncio.sleep(0.5)
            seen.add(known(third)["b"])
        assert "ws://b2" in seen
        assert len(seen) <= 2
        for _ in range(20):  # and no more to and fro
            await asyncio.sleep(0.5)
            assert known(third)["b"] == "ws://b2"
        for one in (first, second, third):
            [problem] = one.at_odds
            assert "cluster.name" in problem
            assert len(problem) <= 200
        assert len(errors) == 3
        await second.close()
        await asyncio.sleep(30)
        assert [one.at_odds for one in (first, third)] == [[], []]
        assert known(third)["b"] == "ws://b"
        await first.close()
        await third.close()

    run(scenario())


def test_a_gateway_that_was_started_again_with_another_name_or_address_is_no_conflict(
    errors: list[str],
) -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(2))
        third = await joined(house, "c", "c", "ws://c")
        for key, name, url in (
            ("1", "b", "ws://b"),
            ("2", "b", "ws://b"),
            ("3", "d", "ws://b"),
            ("4", "d", "ws://e"),
        ):
            one = await joined(house, key, name, url)
            await asyncio.sleep(3)
            house.broker.members[key].leave()  # killed
            await one.close()
        await asyncio.sleep(30)
        assert third.at_odds == []
        assert errors == []
        await third.close()

    run(scenario())


@pytest.mark.parametrize(
    ("name", "url", "keys", "clock", "told"),
    [
        ("b", "ws://a", KEYS, 0.0, "gateway b has the address ws://a of this one"),
        ("b", "ws://c", KEYS, 0.0, "gateways b and c have one address, ws://c"),
        ("b", "ws://b", KEYS | {"token_secret": "two"}, 0.0, "another token_secret:"),
        ("b", "ws://b", KEYS | {"api_keys": "two"}, 0.0, "another api_keys:"),
        ("b", "ws://b", KEYS, 300.0, "far ahead of this one's"),
        ("b", "ws://b", KEYS, -300.0, "far behind this one's"),
        ("b", "ws://b", KEYS, 5.0, None),
    ],
)
def test_what_does_not_fit_is_told_once_with_what_to_do(
    errors: list[str], name: str, url: str, keys: dict[str, str], clock: float, told: str | None
) -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(3))
        here = await joined(house, "a", "a", "ws://a")
        third = await joined(house, "c", "c", "ws://c")
        wrong = await joined(house, "b", name, url, keys, clock)
        await asyncio.sleep(60)
        problems = here.at_odds
        assert [told is not None and told in one for one in problems] == ([] if told is None else [True])
        assert all(len(one) <= 200 for one in problems)
        assert sum(one in errors or f"{one}\n" in errors for one in problems) == len(problems)
        assert len(errors) <= 4  # each of the three once, and of a clock or keys the wrong one about both
        for one in (wrong, third, here):
            await one.close()

    run(scenario())


def test_a_gateway_of_another_version_is_told_and_many_of_them_are_bounded(errors: list[str]) -> None:
    async def scenario() -> None:
        house = ModelCluster(random.Random(4))
        here = await joined(house, "a", "a", "ws://a")
        for _ in range(10):
            for number in range(50):
                here.on_other_version(OtherVersion(gateway=f"old-{number}", version="0.1"), "2")
            await asyncio.sleep(2)
        assert len(here.at_odds) == len(errors) == MOST_CAUSES
        assert "gateway old-0 (0.1) speaks version 2 of the cluster's protocol" in here.at_odds[0]
        assert known(here) == {}
        await asyncio.sleep(30)
        assert here.at_odds == []
        await here.close()

    run(scenario())


def test_digests_are_alike_for_the_same_keys_in_any_order_and_differ_for_others() -> None:
    def of(secret: str | None, *keys: str) -> dict[str, str]:
        return digests(
            GatewayConfig(agents={"desk": "t"}, token_secret=secret, api_keys=list(keys)), "piopiy"
        )

    one = of("s" * 32, "first-key", "second-key")
    assert one == of("s" * 32, "second-key", "first-key")
    other = of("s" * 32, "first-key")
    assert (one["token_secret"] == other["token_secret"], one["api_keys"] == other["api_keys"]) == (
        True,
        False,
    )
    assert of("z" * 32, "first-key")["token_secret"] != one["token_secret"]
    assert of(None)["token_secret"] != one["token_secret"]
    assert all(len(digest) == 8 for digest in one.values())
