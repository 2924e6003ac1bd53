"""How hundreds of agents are, as the console of another gateway is told over a real NATS server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.cluster.own_health import MOST_TOLD
from piopiy_pipeline.signaling.instance_messages import Load
from piopiy_pipeline.signaling.messages import GatewayMessage, Register, Status
from tests.support.gateway_peers import config
from tests.support.nats_server import nats_server, needs_nats
from tests.support.web import API_KEY, client

pytestmark = [needs_nats, pytest.mark.realtime]

AGENTS = MOST_TOLD + 100


class Unheard:
    """The connection of an agent that is told nothing."""

    def send(self, message: GatewayMessage) -> None: ...

    def replace(self) -> None: ...

    def shutdown(self) -> None: ...


def test_of_more_agents_than_a_message_is_to_hold_those_in_trouble_are_told_of_first() -> None:
    async def scenario() -> None:
        async with nats_server() as server:
            one, other = (
                Gateway(config(api_keys=[API_KEY], cluster={"servers": [server.url], "name": name}))
                for name in ("one", "other")
            )
            async with one, other, client(one) as web:
                board, now = other.switchboard, asyncio.get_running_loop().time()
                for number in range(AGENTS):
                    name = f"agent-{number:04}"
                    registered = Register(agent_id=name, instance_id=name, capacity=5, roams=True)
                    instance = board.register(registered, Unheard(), now)
                load = Load(busy=0.97, lag_p95_ms=80, core=0.97, takes="none")
                board.receive(instance, Status(active=1, capacity=5, load=load), now)
                homes: dict[str, Any] = {}
                async with asyncio.timeout(30):
                    while len(homes) < AGENTS or homes[f"agent-{AGENTS - 1:04}"]["busy"] is None:
                        told = (await web.get("/api/cluster")).json()
                        homes = {home["agent_id"]: home for home in told["agents"]}
                        await asyncio.sleep(0.1)
                assert len(homes) == len(told["agents"]) == AGENTS
                last = homes[f"agent-{AGENTS - 1:04}"]
                assert (last["overloaded"], last["busy"], last["active"]) == (1, 0.97, 1)
                assert {home["capacity"] for home in homes.values()} == {5}
                health = one.cluster.calls.elsewhere.health("other") if one.cluster is not None else None
                assert health is not None
                assert len(health.agents) == MOST_TOLD
                assert (await web.get("/api/info")).json()["problems"] == [
                    "the NATS servers have no JetStream: browsers' conversations cannot go on at other gateways, and"
                    " phones cannot be called from there: start the servers with -js and a folder (-sd)"
                ]

    asyncio.run(scenario())
