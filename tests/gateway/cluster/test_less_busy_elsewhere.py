"""Calls that go to a much less busy instance of another gateway though one is here: in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piopiy_pipeline.gateway.core.detour import COMPARE_S, detour_limit
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import ModelAgent, ModelCluster, ModelGateway


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(lambda: scenario, limit_s=600)


async def two(
    here: float | None, there: float | None, *, seed: int = 1
) -> tuple[ModelCluster, ModelGateway, ModelGateway]:
    """Return a cluster in which each of two gateways has one agent, so busy."""
    house = ModelCluster(random.Random(seed), talk_s=1e6)
    await house.open(2, 0, 1)
    near, far = house.gateways.values()
    for name, busy, gateway in (("here", here, near), ("there", there, far)):
        agent = ModelAgent(house, name, 50)
        agent.busy = busy
        house.agents.append(agent)
        agent.register(gateway)
    await asyncio.sleep(3)
    return house, near, far


async def who_takes(house: ModelCluster, gateway: ModelGateway, call_id: str = "call-1") -> str:
    call, _ = gateway.place(call_id)
    await asyncio.sleep(0.5)
    assert call.phase is Phase.LIVE
    assert house.wrong == []
    return house.confirmed[call_id].agent.name


@pytest.mark.parametrize(
    ("here", "there", "taker"),
    [
        (0.95, 0.05, "there"),
        (0.85, 0.3, "there"),
        (0.95, 0.9, "here"),  # nobody has room
        (0.7, 0.05, "here"),  # the way would cost more than it saves
        (0.3, 0.05, "here"),
        (0.95, None, "here"),  # an older agent does not say how busy it is
        (None, 0.05, "here"),
    ],
)
def test_who_takes_a_call_by_how_busy_they_are(here: float | None, there: float | None, taker: str) -> None:
    async def scenario() -> None:
        house, near, _ = await two(here, there)
        assert await who_takes(house, near) == taker
        await house.close()

    run(scenario())


def test_with_equal_loads_nobody_is_sent_and_not_every_call_asks() -> None:
    async def scenario() -> None:
        house, near, _ = await two(0.9, 0.9)
        for number in range(5):
            assert await who_takes(house, near, f"call-{number}") == "here"
        assert not house.sent.is_set()
        assert near.cluster.detour("desk", 0.95) is None
        await house.close()

    run(scenario())


def test_what_was_said_last_is_checked_when_it_is_asked() -> None:
    async def scenario() -> None:
        house, near, far = await two(0.95, 0.05)
        [there] = far.board.instances.of("desk")
        assert there.load is not None
        there.load = there.load.model_copy(update={"busy": 0.97})  # nobody was told of it yet
        began = near.now
        call, _ = near.place("call-1")
        await asyncio.sleep(COMPARE_S + 0.2)
        assert house.confirmed["call-1"].agent.name == "here"
        assert call.answered_at is not None
        assert call.answered_at - began < COMPARE_S
        assert near.cluster.searches.in_vain("desk"), "and the next calls do not ask for a while"
        await house.close()

    run(scenario())


def test_without_the_directory_the_call_is_taken_here_at_once() -> None:
    async def scenario() -> None:
        house, near, _ = await two(0.95, 0.05)
        house.broker.down = True
        for gateway in house.gateways.values():
            gateway.cluster.on_connection()
        assert await who_takes(house, near) == "here"
        await house.close()

    run(scenario())


def test_an_instance_that_does_not_come_costs_a_moment_and_no_more() -> None:
    async def scenario() -> None:
        house, near, _ = await two(0.95, 0.05)
        call, _ = near.place("call-1")
        await house.sent.wait()
        next(agent for agent in house.agents if agent.name == "there").kill()
        await asyncio.sleep(COMPARE_S + 0.2)
        assert call.phase is Phase.LIVE
        assert house.confirmed["call-1"].agent.name == "here"
        call.caller_hangup(near.now)
        await asyncio.sleep(10)
        assert house.kept() == 0
        await house.close()

    run(scenario())


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_the_loads_all_are_served_once_and_soon_and_no_worse(seed: int) -> None:
    """`ModelCluster` checks that no call has two agents, and no agent more calls than places."""

    async def scenario() -> None:
        rng = random.Random(seed)
        house = ModelCluster(rng, talk_s=20, slow_s=rng.choice([0.002, 0.02]))
        await house.open(rng.randint(2, 4), rng.randint(3, 8), 30)
        for agent in house.agents:
            agent.busy = rng.choice([0.0, 0.2, 0.5, 0.75, 0.85, 0.95])
            agent.report()
        await asyncio.sleep(3)
        calls = []
        for number in range(60):
            gateway = rng.choice(list(house.gateways.values()))
            here = gateway.board.instances.least_busy("desk")
            call, leg = gateway.place(f"call-{number}")
            calls.append((call, leg, here, gateway.now))
            await asyncio.sleep(rng.expovariate(10))
            if number % 10 == 0:
                agent = rng.choice(house.agents)
                agent.busy = rng.choice([0.0, 0.5, 0.95])
                agent.report()
        await asyncio.sleep(2)
        assert house.wrong == []
        for call, _, here, began in calls:
            assert call.answered_at is not None
            if here is not None and detour_limit(here) is None:
                assert call.agent.assignment.offers >= 1
                assert call.answered_at - began < 0.4, "who has one that is not busy asks nobody"
            if here is not None:
                assert call.answered_at - began < COMPARE_S + 0.5
        await asyncio.sleep(300)
        assert house.kept() == 0
        assert house.under_way() == 0
        await house.close()

    run(scenario())
