"""Calls that are served by instances of other gateways: in virtual time, with faults made by chance."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.cluster.directory_messages import DirectoryAnswer, DirectorySearch
from piopiy_pipeline.gateway.cluster.summonses import COME_S
from piopiy_pipeline.gateway.core.agent_assignment import PLACE_S
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.messages import Blocked, InstanceDied, Move, Roam
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import ModelAgent, ModelCluster, ModelGateway

TURNED_AWAY = (EndReason.BUSY, EndReason.NO_AGENT)
UNUSED_S = 0.45
"""So long, beside the way, a place may stay unused while callers wait: until they ask again."""
WAYS = 6
"""And so many times as long as the slowest message: an instance's way to a call at another gateway has nine of them,
which take half of that on average.
"""


def run(scenario: Coroutine[Any, Any, None]) -> None:
    run_virtual(lambda: scenario, limit_s=600)


async def two(
    *, capacity: int = 1, agents: int = 1, seed: int = 1
) -> tuple[ModelCluster, ModelGateway, ModelGateway]:
    """Return a cluster of two gateways, with all agents at home at the first."""
    house = ModelCluster(random.Random(seed), talk_s=1e6)
    await house.open(2, 0, 1)
    home, other = house.gateways.values()
    for number in range(agents):
        house.agents.append(ModelAgent(house, f"agent-{number}", capacity))
        house.agents[-1].register(home)
    await asyncio.sleep(0.5)
    return house, home, other


async def sent(house: ModelCluster) -> None:
    """Wait until an agent is on its way."""
    await asyncio.wait_for(asyncio.shield(house.sent.wait()), 5)


def test_an_agent_at_home_elsewhere_takes_the_call() -> None:
    async def scenario() -> None:
        house, _, other = await two()
        house.talk_s = 5
        call, leg = other.place("call-1")
        await asyncio.sleep(0.3)
        assert leg.notes[:2] == ["ring", "answer"]
        assert call.phase is Phase.LIVE
        assert other.board.snapshot().calls[0].instance_id == "agent-0"
        await asyncio.sleep(60)
        assert leg.ended == (EndReason.AGENT_HANGUP, "")
        assert house.kept() == 0
        await house.close()

    run(scenario())


def test_a_second_call_needs_no_second_connection() -> None:
    async def scenario() -> None:
        house, _, other = await two(capacity=2)
        other.place("call-1")
        await asyncio.sleep(0.3)
        link = house.agents[0].elsewhere[other.url]
        call, _ = other.place("call-2")
        await asyncio.sleep(0.3)
        assert call.phase is Phase.LIVE
        assert house.agents[0].elsewhere == {other.url: link}
        await house.close()

    run(scenario())


def test_a_place_that_is_kept_is_offered_to_nobody_else() -> None:
    async def scenario() -> None:
        house, home, other = await two()
        there, _ = other.place("there")
        await sent(house)
        here, leg = home.place("here")
        await asyncio.sleep(0.5)
        assert there.phase is Phase.LIVE
        assert here.phase is Phase.OFFERING
        await asyncio.sleep(PLACE_S)
        assert leg.ended is not None
        assert leg.ended[0] is EndReason.BUSY
        assert house.agents[0].refused_full == 0
        await house.close()

    run(scenario())


def test_with_nobody_anywhere_the_reason_is_no_agent() -> None:
    async def scenario() -> None:
        house, _, other = await two(agents=0)
        _, leg = other.place("call-1")
        await asyncio.sleep(2 * PLACE_S)
        assert leg.ended is not None
        assert leg.ended[0] is EndReason.NO_AGENT
        assert house.kept() == 0
        await house.close()

    run(scenario())


def test_a_caller_who_hangs_up_meanwhile_frees_the_place() -> None:
    async def scenario() -> None:
        house, home, other = await two()
        call, _ = other.place("call-1")
        await sent(house)
        call.caller_hangup(other.now)
        await asyncio.sleep(0.3)
        here, _ = home.place("here")
        await asyncio.sleep(0.3)
        assert here.phase is Phase.LIVE
        assert house.kept() == 0
        await house.close()

    run(scenario())


def test_an_instance_that_comes_for_a_call_which_another_one_has_is_free_at_once() -> None:
    async def scenario() -> None:
        house, home, other = await two()
        call, _ = other.place("call-1")
        await sent(house)
        near = ModelAgent(house, "near", 1)
        house.agents.append(near)
        near.register(other)
        await asyncio.sleep(0.3)
        assert call.phase is Phase.LIVE
        assert house.confirmed["call-1"].agent is near
        assert house.kept() == 0
        here, _ = home.place("here")
        await asyncio.sleep(0.3)
        assert here.phase is Phase.LIVE
        await house.close()

    run(scenario())


def test_a_ticket_that_nobody_needs_or_uses_is_forgotten() -> None:
    async def scenario() -> None:
        house, _, other = await two()
        call, _ = other.place("call-1")
        await sent(house)
        house.agents[0].kill()
        call.caller_hangup(other.now)
        await asyncio.sleep(COME_S + 0.1)
        assert house.kept() == 0
        await house.close()

    run(scenario())


@pytest.mark.parametrize("hangs_up", [True, False])
def test_an_instance_on_its_way_to_a_call_that_needs_it_no_more_is_no_stranger(hangs_up: bool) -> None:
    """A wrong ticket is counted as a wrong key, and who is not let in as one that cannot reach a gateway."""

    async def scenario() -> None:
        house, _, other = await two()
        call, _ = other.place("call-1")
        await sent(house)
        if hangs_up:
            call.caller_hangup(other.now)
        else:
            house.agents.append(ModelAgent(house, "near", 1))
            house.agents[-1].register(other)
        await asyncio.sleep(0.3)
        assert [one.detail for one in house.results] == ["the call is over, or did not wait so long"]
        assert house.kept() == 0
        await house.close()

    run(scenario())


def test_an_instance_that_is_killed_on_its_way_is_followed_by_another() -> None:
    async def scenario() -> None:
        house, _, other = await two(agents=2)
        call, _ = other.place("call-1")
        await sent(house)
        next(agent for agent in house.agents if agent.pending).kill()
        await asyncio.sleep(1)
        assert call.phase is Phase.LIVE
        await house.close()

    run(scenario())


@pytest.mark.parametrize("overtaken", [False, True])
def test_why_an_agent_does_not_reach_this_gateway_is_known_here(overtaken: bool) -> None:
    async def scenario() -> None:
        house, _, other = await two()
        agent = house.agents[0]

        def refuse(order: Roam) -> None:
            agent._settle(order.call_id, taken=False, detail=f"{order.url}: Connection refused")

        agent._connect = refuse  # type: ignore[method-assign]
        if overtaken:  # the refusal is here before the answer that names who was sent
            answer = other.directory.search

            async def search(search: DirectorySearch, timeout_s: float) -> DirectoryAnswer | None:
                found = await answer(search, timeout_s)
                await asyncio.sleep(0.3)
                return found

            other.directory.search = search  # type: ignore[method-assign]
        _, leg = other.place("call-1")
        await asyncio.sleep(2 * PLACE_S)
        assert leg.ended is not None
        assert leg.ended[0] is EndReason.BUSY
        assert leg.ended[1].endswith(f"other gateways: {other.url}: Connection refused")
        await house.close()

    run(scenario())


def test_a_call_goes_on_when_the_gateway_at_home_dies() -> None:
    async def scenario() -> None:
        house, home, other = await two(capacity=3)
        calls = [other.place(f"call-{n}")[0] for n in range(2)]
        await asyncio.sleep(0.5)
        home.kill()
        await asyncio.sleep(5)
        assert [call.phase for call in calls] == [Phase.LIVE] * 2
        assert [call.agent.assignment.losses.count for call in calls] == [0, 0]
        third, _ = other.place("call-3")  # where the agent is at home now
        await asyncio.sleep(0.5)
        assert third.phase is Phase.LIVE
        fourth, _ = other.place("call-4")
        await asyncio.sleep(0.5)
        assert fourth.phase is Phase.OFFERING, "it has no place: the calls from before count at the new home"
        assert house.agents[0].refused_full == 0
        await house.close()

    run(scenario())


def test_a_call_whose_agent_dies_is_recovered_by_one_of_another_gateway() -> None:
    async def scenario() -> None:
        house, _, other = await two(agents=2)
        call, leg = other.place("call-1")
        await asyncio.sleep(0.5)
        next(agent for agent in house.agents if agent.calls).kill()
        await asyncio.sleep(0.5)
        assert call.phase is Phase.LIVE
        assert call.agent.assignment.losses.count == 1
        assert leg.ended is None
        await house.close()

    run(scenario())


def test_a_call_moves_to_an_instance_of_another_gateway_when_its_own_drains() -> None:
    async def scenario() -> None:
        house, _, other = await two(agents=1)
        draining = ModelAgent(house, "draining", 1)
        house.agents.append(draining)
        draining.register(other)
        await asyncio.sleep(0.5)
        call, leg = other.place("call-1")
        await asyncio.sleep(0.3)
        assert draining.calls
        assert draining.home is not None
        draining.home.say(
            Move(call_id="call-1")
        )  # in one pause somebody is sent for, and takes it in the next one
        await asyncio.sleep(0.5)
        assert house.confirmed["call-1"].agent is draining
        draining.home.say(Move(call_id="call-1"))
        await asyncio.sleep(0.5)
        assert house.confirmed["call-1"].agent is house.agents[0]
        assert call.phase is Phase.LIVE
        assert leg.ended is None
        await house.close()

    run(scenario())


def test_what_is_known_of_a_death_at_home_is_known_where_the_call_is() -> None:
    async def scenario() -> None:
        house, _, other = await two(agents=2)
        call, leg = other.place("call-1")
        await asyncio.sleep(0.5)
        victim = next(agent for agent in house.agents if agent.calls)
        witness = next(agent for agent in house.agents if agent is not victim)
        assert witness.home is not None
        detail = "it was killed for its memory"
        witness.home.say(
            InstanceDied(instance_id=victim.name, detail=detail, calls=["call-1"], culprit="call-1")
        )
        victim.kill()
        await asyncio.sleep(1)
        assert leg.ended == (EndReason.ERROR, detail), (
            "it is not offered to the next one, which it would kill"
        )
        assert call.phase is Phase.ENDED
        await house.close()

    run(scenario())


def test_a_call_that_has_left_is_taken_back_when_a_watchdog_names_it_at_home() -> None:
    async def scenario() -> None:
        house, home, other = await two(agents=2)
        call, leg = other.place("call-1")
        await asyncio.sleep(0.5)
        victim, witness = sorted(house.agents, key=lambda agent: not agent.calls)
        victim.hear = lambda link, message: None  # type: ignore[method-assign]  # its loop does not turn
        [roaming] = other.board.instances.find("desk", victim.name)
        other.board.silences.silent(roaming, "nothing was heard of it for 1.0 s", other.now)
        await asyncio.sleep(0.5)
        assert house.confirmed["call-1"].agent is witness
        word = Blocked(
            agent_id="desk",
            instance_id=victim.name,
            call_id="call-1",
            place="bot.py:12 in look_up",
            blocked_s=0.5,
            limit_s=4.0,
        )
        home.board.silences.blocked(word, home.now)
        home.board.resources.summoner.pass_on("desk", word)
        await asyncio.sleep(1)
        assert call.phase is Phase.OFFERING
        assert not witness.calls
        await asyncio.sleep(4)
        assert leg.ended == (
            EndReason.ERROR,
            "its code has blocked the agent for 4 s at bot.py:12 in look_up",
        )
        await house.close()

    run(scenario())


def test_without_the_directory_each_gateway_goes_on_with_its_own() -> None:
    async def scenario() -> None:
        house, home, other = await two(capacity=2)
        before, _ = other.place("before")
        await asyncio.sleep(0.5)
        house.broker.down = True
        for gateway in house.gateways.values():
            gateway.cluster.on_connection()
        assert home.cluster.problem
        here, _ = home.place("here")
        there, leg = other.place("there")
        await asyncio.sleep(1)
        assert (before.phase, here.phase, there.phase) == (Phase.LIVE, Phase.LIVE, Phase.OFFERING)
        await asyncio.sleep(PLACE_S)
        assert leg.ended is not None
        assert leg.ended[1].endswith("other gateways: the directory is down")
        house.agents[0].capacity = 3
        house.agents[0].report()
        house.broker.down = False
        for gateway in house.gateways.values():
            gateway.cluster.on_connection()
        again, _ = other.place("again")
        await asyncio.sleep(0.5)
        assert again.phase is Phase.LIVE
        assert not home.cluster.problem
        await house.close()

    run(scenario())


@pytest.mark.parametrize("faults", [False, True])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32))
@example(seed=484)  # two places, and two long calls
@example(seed=47)  # an instance was kept by a call that another one had taken
def test_no_call_has_two_agents_and_no_agent_more_calls_than_places(faults: bool, seed: int) -> None:
    """`ModelCluster` checks both whenever a gateway confirms a call. Without faults, nobody is asked in vain either,
    and no place stays unused while a caller waits who is turned away.
    """

    async def scenario() -> None:
        rng = random.Random(seed)
        house = ModelCluster(rng, talk_s=rng.uniform(0.5, 8), slow_s=rng.choice([0.002, 0.02, 0.1]))
        await house.open(rng.randint(2, 4), rng.randint(2, 6), rng.randint(1, 4))
        legs = []
        for number in range(80):
            gateway = rng.choice([one for one in house.gateways.values() if one.alive])
            call, leg = gateway.place(f"call-{number}")
            legs.append((gateway, leg, gateway.now))
            if rng.random() < 0.1:
                hangs_up = rng.uniform(0, 1)
                asyncio.get_running_loop().call_later(hangs_up, partial(hang_up, call, gateway))
            if faults:
                make_fault(house, rng)
            await asyncio.sleep(rng.expovariate(8))
        house.broker.sides.clear()
        await asyncio.sleep(200)
        assert house.wrong == []
        assert house.under_way() == 0
        assert house.kept() == 0
        assert all(leg.ended for gateway, leg, _ in legs if gateway.alive)
        assert house.served
        if not faults:
            turned_away = [since for _, leg, since in legs if leg.ended and leg.ended[0] in TURNED_AWAY]
            unused_s = [
                agent.longest_unused_s(since, since + PLACE_S)
                for since in turned_away
                for agent in house.agents
            ]
            assert max(unused_s, default=0.0) <= UNUSED_S + WAYS * house.slow_s
            assert sum(agent.refused_full for agent in house.agents) == 0
        await house.close()

    run(scenario())


def hang_up(call: GatewayCall, gateway: ModelGateway) -> None:
    call.caller_hangup(gateway.now)


def make_fault(house: ModelCluster, rng: random.Random) -> None:
    chance = rng.random()
    alive = [one for one in house.gateways.values() if one.alive]
    if chance < 0.01 and len(alive) > 1:
        rng.choice(alive).kill()
    elif chance < 0.03:
        victim = rng.choice(house.agents)
        if victim.alive and sum(one.alive for one in house.agents) > 1:
            victim.kill()
    elif chance < 0.05:
        house.broker.sides = {one.name: rng.randint(0, 1) for one in alive}  # a split network
    elif chance < 0.08:
        house.broker.sides.clear()
