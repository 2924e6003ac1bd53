"""The program of `test_split_network`, which runs in a network of its own: a cluster whose network is cut in two.

On one side are gateway A, with two agents at home, and a NATS server; on the other gateway B with an agent, and another
NATS server. What goes over the cut: the route between the servers, and the connections of A's agents to B. Callers are
on the side of their gateway. The last line of the output says what has happened, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.session import Call
from tests.support.alone import ADDRESS, Cable
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, KEY, SETTINGS, TOKEN, eventually
from tests.support.chaos import ChaosCaller, call, free_tcp_port
from tests.support.heard_pitches import Lateness
from tests.support.nats_server import NatsServer

PATIENCE_S = 40.0
CUT_S = 8.0


class Watch:
    """Looks all the time in how many agents a call is at once, and which call had the most."""

    def __init__(self, agents: list[Agent]) -> None:
        self._agents = agents
        self.most: Counter[str] = Counter()
        self.over_capacity = 0

    async def run(self) -> None:
        while True:
            now = Counter(call_id for agent in self._agents for call_id in agent.calls)
            for call_id, times in now.items():
                self.most[call_id] = max(self.most[call_id], times)
            self.over_capacity += sum(agent.active > agent.capacity for agent in self._agents)
            await asyncio.sleep(0.005)


def nats_config(folder: Path, name: str, *, listens: str | None, route: str | None) -> Path:
    """Write the configuration of a server that soon notices that another one is gone."""
    file = folder / f"{name}.conf"
    cluster = [f'listen: "{listens}"'] if listens else ['listen: "127.0.0.1:-1"']
    cluster += [f'routes: ["nats://{route}"]'] if route else []
    file.write_text(
        f"server_name: {name}\nping_interval: 1s\nping_max: 2\nwrite_deadline: 2s\n"
        f"cluster {{ name: both, {', '.join(cluster)} }}\n"
    )
    return file


def config(server: NatsServer, name: str, host: str, url: str | None) -> GatewayConfig:
    settings: dict[str, Any] = {"setup_s": 25.0, **SETTINGS, "host": host, "port": free_tcp_port()}
    cluster: dict[str, Any] = {"servers": [server.url], "name": name}
    if url is not None:
        cluster["url"] = f"{url}:{settings['port']}"
    return GatewayConfig(
        agents={AGENT_ID: TOKEN}, caller_keys=[KEY], **settings, cluster=ClusterConfig(**cluster)
    )


async def bot(call: Call) -> None:
    await (await voice(call, greeting=" ".join([LONG] * 20))).start()


async def story(stack: AsyncExitStack) -> dict[str, Any]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    cable = Cable()
    route = f"{ADDRESS}:{free_tcp_port()}"
    servers = [
        NatsServer("-c", str(nats_config(folder, "a", listens=route, route=None))),
        NatsServer("-c", str(nats_config(folder, "b", listens=None, route=route))),
    ]
    for server in servers:
        await server.start()
        stack.push_async_callback(server.kill)
    a = await stack.enter_async_context(Gateway(config(servers[0], "a", "127.0.0.1", None)))
    b = await stack.enter_async_context(Gateway(config(servers[1], "b", "0.0.0.0", f"ws://{ADDRESS}")))
    agents = [
        Agent(AGENT_ID, TOKEN, bot, signaling_url=url, capacity=capacity, load_threshold=1)
        for url, capacity in ((a.url, 3), (a.url, 3), (b.url, 1))
    ]
    serving = [asyncio.create_task(agent.connect()) for agent in agents]
    for agent in agents:
        stack.push_async_callback(agent.shutdown)
    await eventually(lambda: all(one._connection.home.registered for one in agents), PATIENCE_S)
    assert b.cluster is not None
    await eventually(lambda: b.switchboard.resources.summoner.has_place(AGENT_ID), PATIENCE_S)
    watch = Watch(agents)
    watching = asyncio.create_task(watch.run())
    lateness = Lateness()
    stack.callback(lateness.close)
    near_b = f"ws://127.0.0.1:{b.port}"

    async def calls(url: str, count: int, *, heard: bool = True) -> list[ChaosCaller]:
        callers = [await call(stack, url, lateness=lateness) for _ in range(count)]
        if heard:
            await eventually(lambda: all(one.agent_heard() for one in callers), PATIENCE_S)
        return callers

    own = await calls(near_b, 1)  # by B's own agent, which is full then
    roaming = await calls(near_b, 2)  # by agents of A
    at_a = await calls(a.url, 1)
    cable.cut()
    loop = asyncio.get_running_loop()
    cut_at = loop.time()
    during = await calls(a.url, 1)
    refused = await calls(near_b, 1, heard=False)
    await eventually(lambda: refused[0].ended, PATIENCE_S)
    await asyncio.sleep(max(0.0, cut_at + CUT_S - loop.time()))
    still = [one.ended for one in (*own, *roaming, *at_a, *during)]
    cable.mend()
    mended_at = loop.time()
    await eventually(lambda: all((one.agent_heard(mended_at) or one.ended) for one in roaming), PATIENCE_S)
    healed_s = loop.time() - mended_at
    after = await calls(near_b, 1)
    await asyncio.sleep(1)
    watching.cancel()
    everybody = [*own, *roaming, *at_a, *during, *after]
    result = {
        "two_agents": sum(times > 1 for times in watch.most.values()),
        "over_capacity": watch.over_capacity,
        "ended_while_cut": sum(one is not None for one in still),
        "refused": refused[0].ended,
        "ended_in_all": [one.ended for one in everybody if one.ended],
        "roaming_again_s": round(healed_s, 2),
        "calls": len(watch.most),
    }
    for agent in agents:
        await agent.shutdown()
    await asyncio.gather(*serving)
    return result


async def run() -> None:
    async with AsyncExitStack() as stack:
        print(json.dumps(await story(stack)))


if __name__ == "__main__":
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(1)
