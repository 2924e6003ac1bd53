"""How long a call waits for its agent: one at home at the same gateway, and one at home at another, over NATS.

    python -m benchmarks.cluster                         20 calls a second to each, for 10 s
    python -m benchmarks.cluster --rate 100 --seconds 30

Calls go to both by turns, so that both have the same machine. The gateway with the calls is in this process; the other
gateway, the agents and the NATS server are processes of their own. Agents accept, and end the call at once: no pipeline
is made. From the offer to the accept the media stream is opened, in both cases. "until placed" counts from the call's
beginning to the accept, so for an agent at home elsewhere the directory's answer and the way there as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import statistics
import sys
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.child_process import Program, program
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.call import CallInfo, CallKind, EndReason
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged
from piopiy_pipeline.gateway.core.leg import Leg, LegListener
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.messages import ConversationEvent

TOKENS = {"near": "near-token", "far": "far-token"}
NATS_SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")


class SilentLeg(Leg):
    """A caller who says nothing, and needs no socket."""

    kind: CallKind = "stream"

    def __init__(self) -> None:
        self.rate = 16000

    def attach(self, listener: LegListener) -> None: ...

    def ring(self, call_id: str) -> None: ...

    def answer(self) -> None: ...

    def send_audio(self, pcm: bytes) -> None: ...

    def clear(self) -> None: ...

    def conversation(self, event: ConversationEvent) -> None: ...

    def dtmf(self, digits: str) -> None: ...

    def data(self, data: dict[str, Any]) -> None: ...

    def end(self, reason: EndReason, detail: str) -> None: ...


class Accepts:
    """Notes when each call is placed and accepted."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.placed: dict[str, tuple[str, float]] = {}
        self.took_s: dict[str, list[float]] = {"near": [], "far": []}
        self.ends: Counter[str] = Counter()
        self.offers: list[int] = []

    def on_event(self, event: BusEvent) -> None:
        if not isinstance(event, CallChanged):
            return
        call = event.call
        if call.phase is Phase.SETUP and call.call_id in self.placed:
            agent_id, at = self.placed.pop(call.call_id)
            self.took_s[agent_id].append(self._loop.time() - at)
        elif call.phase is Phase.ENDED:
            self.placed.pop(call.call_id, None)
            self.ends[f"{call.agent_id} {call.reason}"] += 1
            self.offers.append(call.offers)


def settings(port: int, nats_url: str, name: str) -> dict[str, Any]:
    return {
        "port": port,
        "agents": TOKENS,
        "records": False,
        "webrtc_workers": 0,
        "max_calls": 2000,
        "cluster": {"servers": [nats_url], "name": name},
    }


async def serve_agent(agent_id: str, url: str) -> None:
    """Be an agent whose calls end at once."""

    async def end(call: Call) -> None:
        await call.hangup(drain_s=0)

    await Agent(agent_id, TOKENS[agent_id], end, signaling_url=url, capacity=1000, load_threshold=1).connect()


async def serve_gateway(nats_url: str) -> None:
    """Be the other gateway, and tell where."""
    async with Gateway(GatewayConfig(**settings(0, nats_url, "other"))) as gateway:
        print(gateway.url, flush=True)
        await gateway.serve_forever()


async def run_process(stack: AsyncExitStack, *arguments: str) -> Program:
    command = (sys.executable, "-m", "benchmarks.cluster", *arguments)
    return await stack.enter_async_context(program(*command, pipes=True))


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Place the calls, and return what they took in milliseconds."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        assert NATS_SERVER is not None
        port = 20_000 + os.getpid() % 20_000
        await stack.enter_async_context(program(NATS_SERVER, "-a", "127.0.0.1", "-p", str(port)))
        nats_url = f"nats://127.0.0.1:{port}"
        other = await run_process(stack, "--gateway", nats_url)
        other_url = (await other.line("where it is")).decode().strip()
        gateway = await stack.enter_async_context(Gateway(GatewayConfig(**settings(0, nats_url, "here"))))
        await run_process(stack, "--agent", "near", gateway.url)
        await run_process(stack, "--agent", "far", other_url)
        async with asyncio.timeout(60):
            await gateway.wait_for_agent("near", 60)
            while not gateway.switchboard.resources.summoner.has_place("far"):  # noqa: ASYNC110  it is told by nobody
                await asyncio.sleep(0.05)
        accepts = Accepts(loop)
        gateway.switchboard.event_bus.subscribe(accepts.on_event)
        place(gateway, accepts, "far")  # the first connection is made for it
        await asyncio.sleep(1)
        first_ms = accepts.took_s["far"].pop() * 1000
        accepts.ends.clear()
        accepts.offers.clear()
        began = loop.time()
        for number in range(round(options.rate * options.seconds)):
            await asyncio.sleep(max(0.0, began + number / options.rate - loop.time()))
            for agent_id in ("near", "far") if number % 2 else ("far", "near"):
                place(gateway, accepts, agent_id)
        took_s = loop.time() - began
        await asyncio.sleep(5)
        return {
            "calls a second": round(sum(accepts.ends.values()) / took_s),
            "first far ms": round(first_ms, 1),
            "took ms": {agent_id: summary(took) for agent_id, took in accepts.took_s.items()},
            "ends": dict(accepts.ends),
            "neither accepted nor ended": len(accepts.placed),
            "offers a call, most": max(accepts.offers),
        }


def place(gateway: Gateway, accepts: Accepts, agent_id: str) -> None:
    info = CallInfo(agent_id=agent_id, call_id=str(uuid.uuid4()), kind="stream")
    accepts.placed[info.call_id] = agent_id, asyncio.get_running_loop().time()
    gateway._place_leg(info, SilentLeg())


def summary(took_s: list[float]) -> dict[str, float]:
    ordered = sorted(took_s)
    return {
        "calls": len(ordered),
        "p50": round(statistics.median(ordered) * 1000, 2),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))] * 1000, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=20, help="calls a second to each of the two agents")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--agent", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--gateway", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent:
        asyncio.run(serve_agent(*options.agent))
    elif options.gateway:
        asyncio.run(serve_gateway(options.gateway))
    elif NATS_SERVER is None:
        sys.exit("benchmarks.cluster needs nats-server: apt-get install nats-server")
    else:
        print(json.dumps(asyncio.run(measure(options)), indent=1))


if __name__ == "__main__":
    main()
