"""A cluster of processes: gateways, agents and a NATS server, each of which a test may kill.

async with cluster(folder, agents=3) as place:
    a, b, c = place.gateways            # all agents are at home at the first
    callers = await place.callers(b, 4)
"""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.support.agents import AgentProcess
from tests.support.calls import AGENT_ID, KEY, TOKEN, eventually
from tests.support.chaos import PITCHES, START_S, ChaosAgent, ChaosCaller, call, free_tcp_port
from tests.support.heard_pitches import Lateness
from tests.support.nats_server import NatsServer

__all__ = ["ClusterPlace", "GatewayOfMany", "cluster"]


class GatewayOfMany:
    """One gateway's process.

    Args:
        name: Its name.
        host: The address that it listens on.
        more: Further lines of its configuration: whole tables.
    """

    def __init__(self, name: str, host: str, more: str = "") -> None:
        self.more = more
        self.name = name
        self.host = host
        self.port = free_tcp_port()
        self.process: AgentProcess | None = None

    @property
    def url(self) -> str:
        return f"ws://{self.host}:{self.port}"

    @property
    def log(self) -> str:
        return "" if self.process is None else self.process.log

    def at_home(self) -> int:
        """Count the registrations of agents that had their home here."""
        return sum(" registered: " in line and "roaming" not in line for line in self.log.splitlines())

    def kill(self) -> None:
        assert self.process is not None
        self.process.process.send_signal(signal.SIGKILL)

    async def start(self, folder: Path, nats_url: str) -> None:
        config = folder / f"{self.name}.toml"
        lines = [
            f'host = "{self.host}"',
            f"port = {self.port}",
            "webrtc_workers = 0",
            "records = false",
            "offer_ms = 2000",
            f'caller_keys = ["{KEY}"]',
            'api_keys = ["operators-key"]\ntoken_secret = "the-same-at-all"',
            f'[agents]\n{AGENT_ID} = "{TOKEN}"',
            f'[cluster]\nservers = ["{nats_url}"]\nname = "{self.name}"',
            self.more,
        ]
        config.write_text("\n".join(lines) + "\n")
        self.process = await AgentProcess.start(
            self.url, arguments=("-m", "piopiy_pipeline.cli", "gateway", "--config", str(config))
        )
        await eventually(lambda: "listening" in self.log, START_S)


class ClusterPlace:
    """All of them."""

    def __init__(self, nats: NatsServer, stack: AsyncExitStack) -> None:
        self.nats = nats
        self.gateways: list[GatewayOfMany] = []
        self.agents: list[ChaosAgent] = []
        self.lateness = Lateness()
        self._stack = stack
        stack.callback(self.lateness.close)

    async def caller(self, gateway: GatewayOfMany) -> ChaosCaller:
        """Call at one gateway."""
        return await call(self._stack, gateway.url, lateness=self.lateness)

    async def callers(self, gateway: GatewayOfMany, count: int) -> list[ChaosCaller]:
        """Make calls at one gateway, and wait until all hear their bot."""
        callers = [await self.caller(gateway) for _ in range(count)]
        await eventually(lambda: all(one.agent_heard() for one in callers), START_S)
        return callers


@asynccontextmanager
async def cluster(
    folder: Path, *, gateways: int = 3, agents: int = 3, capacity: int = 20
) -> AsyncIterator[ClusterPlace]:
    """Run a cluster. The agents know all gateways, and are at home at the first: only that is there when they start."""
    async with AsyncExitStack() as stack:
        nats = NatsServer()
        await nats.start()
        stack.push_async_callback(nats.kill)
        place = ClusterPlace(nats, stack)
        place.gateways = [GatewayOfMany(f"gateway-{n}", f"127.0.0.{n + 1}") for n in range(gateways)]
        try:
            first, *others = place.gateways
            await first.start(folder, nats.url)
            assert first.process is not None
            stack.push_async_callback(first.process.close)
            urls = ",".join(one.url for one in place.gateways)
            for number in range(agents):
                agent = await ChaosAgent.start(
                    urls,
                    arguments=("-m", "tests.support.chaos_agent"),
                    capacity=capacity,
                    environment={"TONE_HZ": str(PITCHES[number % len(PITCHES)])},
                )
                place.agents.append(agent)
                stack.push_async_callback(agent.close)
            await eventually(lambda: first.at_home() == agents, START_S)
            for other in others:
                await other.start(folder, nats.url)
                assert other.process is not None
                stack.push_async_callback(other.process.close)
            yield place
        except BaseException:
            for log in [one.log for one in place.gateways] + [one.log for one in place.agents]:
                print(log[-8000:], file=sys.stderr)
            raise
