"""Gateways that find each other's agents over a real NATS server: whole calls, with the sound beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import CallEnd, EndReason
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.session import Call
from tests.support.agents import logged
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, KEY, SETTINGS, TOKEN, CallLog, House, eventually
from tests.support.nats_server import NatsServer, nats_server, needs_nats

pytestmark = [needs_nats, pytest.mark.realtime]


def config(server: NatsServer, **more: Any) -> GatewayConfig:
    settings = {"setup_s": 25.0, **SETTINGS, "port": 0, **more}
    settings["cluster"] = {"servers": [server.url], **settings.get("cluster", {})}
    return GatewayConfig(agents={AGENT_ID: TOKEN}, caller_keys=[KEY], **settings)


@asynccontextmanager
async def gateways(server: NatsServer, number: int) -> AsyncIterator[list[Gateway]]:
    """Run gateways that know each other."""
    async with AsyncExitStack() as stack:
        running = [await stack.enter_async_context(Gateway(config(server))) for _ in range(number)]
        await eventually(lambda: all(known(one) == number - 1 for one in running), 20)
        yield running


def known(gateway: Gateway) -> int:
    assert gateway.cluster is not None
    return len(gateway.cluster.others.there(asyncio.get_running_loop().time()))


@asynccontextmanager
async def at_home(
    bot: Any, *urls: str, capacity: int = 20, agent: Agent | None = None
) -> AsyncIterator[Agent]:
    """Run an agent that is at home at one of these gateways."""
    agent = agent or Agent(AGENT_ID, TOKEN, bot, signaling_url=list(urls), capacity=capacity)
    serving = asyncio.create_task(agent.connect())
    try:
        await eventually(lambda: agent._connection.home.registered, 30)
        yield agent
    finally:
        await agent.shutdown()
        await asyncio.wait_for(serving, 15)


def ended(gateway: Gateway) -> EndReason | None:
    return gateway.switchboard.snapshot().ended[-1].reason


def test_an_agent_at_one_gateway_serves_a_call_at_another_and_the_sound_goes_there_directly() -> None:
    ends: list[CallEnd] = []

    async def bot(call: Call) -> None:
        ends.append(await (await voice(call, greeting=LONG)).start())

    async def scenario() -> None:
        async with (
            nats_server() as server,
            gateways(server, 2) as (home, other),
            at_home(bot, home.url) as agent,
        ):
            before = await server.bytes_carried()
            log = await House(other, agent).call(hangup_after_s=3)
            carried = await server.bytes_carried() - before
            assert log.reason is EndReason.CALLER_HANGUP
            heard = log.heard.size * 2
            assert heard > 3 * 2 * 16000 * 0.8, "the bot was heard for three seconds"
            assert carried < 15_000 < heard, f"{carried} bytes went over NATS"
            await eventually(lambda: ends, 10)
            assert ended(other) is EndReason.CALLER_HANGUP
            assert not home.switchboard.snapshot().ended

    asyncio.run(scenario())


def test_a_gateway_with_a_place_of_its_own_asks_nobody() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.")).start()

    async def scenario() -> None:
        async with (
            nats_server() as server,
            gateways(server, 2) as (home, other),
            at_home(bot, home.url) as agent,
            at_home(bot, other.url),
        ):
            await House(home, agent).call(hangup_after_s=0.5)
            assert not any(one.roaming for one in other.switchboard.instances.of(AGENT_ID))
            assert not any(one.roaming for one in home.switchboard.instances.of(AGENT_ID))

    asyncio.run(scenario())


def test_an_agent_whose_gateway_is_gone_registers_with_another_and_its_call_elsewhere_goes_on() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting=LONG)).start()

    async def scenario() -> None:
        async with nats_server() as server, gateways(server, 2) as (other, third):
            home = Gateway(config(server))
            await home.start()
            agent = Agent(AGENT_ID, TOKEN, bot, signaling_url=home.url)
            async with at_home(bot, agent=agent):
                agent._connection._addresses._urls = (home.url, other.url, third.url)
                log = CallLog(16000)
                calling = asyncio.create_task(House(other, agent).call(hangup_after_s=5, log=log))
                await eventually(lambda: log.heard.size > 8000, 20)
                await home.close()
                await eventually(lambda: agent._connection.home.url != home.url, 10)
                await eventually(lambda: agent._connection.home.registered, 10)
                await calling
                assert log.reason is EndReason.CALLER_HANGUP
                [call] = other.switchboard.snapshot().ended
                assert (call.losses, call.offers) == (0, 1)
                again = await House(third, agent).call(hangup_after_s=1)
                assert again.reason is EndReason.CALLER_HANGUP

    asyncio.run(scenario())


def test_with_the_server_down_a_gateway_goes_on_and_says_so_and_joins_again() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting=LONG)).start()

    async def health(gateway: Gateway) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(gateway.console_url + "healthz")).text

    async def scenario() -> None:
        async with (
            nats_server() as server,
            gateways(server, 2) as (home, other),
            at_home(bot, home.url) as agent,
        ):
            log = CallLog(16000)
            away = asyncio.create_task(House(other, agent).call(hangup_after_s=6, log=log))
            await eventually(lambda: log.heard.size > 8000, 20)
            with logged() as lines:
                await server.kill()
                await eventually(lambda: home.cluster and home.cluster.problem, 10)
                await eventually(lambda: other.cluster and other.cluster.problem, 10)
            assert sum("the connection was lost" in line for _, line in lines) == 2
            assert "cut off" in await health(home)
            at_once = await House(home, agent).call(hangup_after_s=1)
            assert at_once.reason is EndReason.CALLER_HANGUP
            nobody = await House(other, agent).call(hangup_after_s=1)
            assert nobody.reason in (EndReason.BUSY, EndReason.NO_AGENT)
            await server.start()
            await eventually(lambda: not (home.cluster and home.cluster.problem), 20)
            await eventually(lambda: not (other.cluster and other.cluster.problem), 20)
            again = await House(other, agent).call(hangup_after_s=1)
            assert again.reason is EndReason.CALLER_HANGUP
            await away
            assert log.reason is EndReason.CALLER_HANGUP
            assert "cut off" not in await health(home)

    asyncio.run(scenario())


def test_a_gateway_starts_without_the_server() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting="Hello.")).start()

    async def scenario() -> None:
        server = NatsServer()
        async with Gateway(config(server)) as gateway, at_home(bot, gateway.url) as agent:
            assert gateway.cluster is not None
            assert server.url in gateway.cluster.problem
            log = await House(gateway, agent).call(hangup_after_s=0.5)
            assert log.reason is EndReason.CALLER_HANGUP
            await server.start()
            try:
                await eventually(lambda: gateway.cluster and not gateway.cluster.problem, 20)
            finally:
                await server.kill()

    asyncio.run(scenario())


def test_a_server_without_jetstream_is_told_before_it_is_needed(tmp_path: Path) -> None:
    async def health(gateway: Gateway) -> str:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(gateway.console_url + "healthz")).text

    async def scenario() -> None:
        async with nats_server() as without, Gateway(config(without)) as gateway:
            cluster = gateway.cluster
            assert cluster is not None
            await eventually(lambda: cluster.store_problems, 10)
            assert "-js" in cluster.store_problems[0]
            assert "JetStream" in await health(gateway)
            without.more = ("-js", "-sd", str(tmp_path))
            await without.kill()
            await eventually(lambda: cluster.problem, 10)
            assert "cut off" in await health(gateway)
            await without.start()
            await eventually(lambda: not cluster.problem, 20)
            await eventually(lambda: not cluster.store_problems, 10)
            assert "JetStream" not in await health(gateway)

    asyncio.run(scenario())


def test_wrong_credentials_are_one_sentence() -> None:
    async def scenario() -> None:
        async with nats_server("--user", "piopiy", "--pass", "right") as server:
            wrong = config(server, cluster={"user": "piopiy", "password": "wrong"})
            said = r"^cluster: .* are not reached: nats://127.0.0.1:\d+: it refuses what logs in: look at .*cluster\]$"
            with pytest.raises(GatewayError, match=said):
                await Gateway(wrong).start()
            right = config(server, cluster={"user": "piopiy", "password": "right"})
            async with Gateway(right) as gateway:
                assert gateway.cluster is not None
                assert not gateway.cluster.problem

    asyncio.run(scenario())


def test_an_agent_of_a_gateway_that_drains_finds_another_home_and_its_call_goes_on() -> None:
    async def bot(call: Call) -> None:
        await (await voice(call, greeting=LONG)).start()

    async def scenario() -> None:
        async with (
            nats_server() as server,
            gateways(server, 2) as (home, other),
            at_home(bot, home.url) as busy,
        ):
            calling = asyncio.create_task(House(home, busy).call(hangup_after_s=4))
            await eventually(lambda: home.switchboard.call_count == 1 and busy.active == 1, 20)
            both = Agent(AGENT_ID, TOKEN, bot, signaling_url=[home.url, other.url])
            async with at_home(bot, agent=both):
                home.switchboard.drain.switch(on=True)
                await eventually(lambda: both_at(other, both), 20)
                assert home.switchboard.call_count == 1
                assert (await calling).reason is EndReason.CALLER_HANGUP
                await eventually(lambda: not home.switchboard.instances.of(AGENT_ID), 20)

    def both_at(gateway: Gateway, one: Agent) -> bool:
        return any(i.instance_id == one.instance_id for i in gateway.switchboard.instances.of(AGENT_ID))

    asyncio.run(scenario())


def test_a_call_elsewhere_moves_from_an_agent_that_drains_while_its_home_is_gone() -> None:
    resumed: list[bool] = []

    async def bot(call: Call) -> None:
        resumed.append(call.resumed is not None)
        await (await voice(call, greeting="Good day.")).start()

    async def scenario() -> None:
        async with nats_server() as server, gateways(server, 1) as [other]:
            home = Gateway(config(server))
            await home.start()
            await eventually(lambda: known(home) == known(other) == 1, 20)
            leaving = Agent(AGENT_ID, TOKEN, bot, signaling_url=home.url, drain="move")
            serving = asyncio.create_task(leaving.connect())
            await eventually(lambda: leaving._connection.home.registered, 30)
            log = CallLog(16000)
            calling = asyncio.create_task(House(other, leaving).call(hangup_after_s=8, log=log))
            await eventually(lambda: log.heard.size > 8000, 20)
            async with at_home(bot, other.url):
                before = leaving._connection.home
                await home.close()
                await eventually(lambda: leaving._connection.home is not before, 10)
                leaving.drain()
                await asyncio.wait_for(serving, 20)
                assert resumed == [False, True]
                assert (await calling).reason is EndReason.CALLER_HANGUP

    asyncio.run(scenario())
