"""How regular an agent's heartbeats are on a machine that has other things to do, and whether it is taken for silent.

    python benchmarks/liveness.py                       20 calls, a minute each beside 0, 2, 4 and 8 busy programs
    python benchmarks/liveness.py --load 4 --seconds 20
    python benchmarks/liveness.py --json                one JSON object as the last line

Gateway and callers run in this process, the agent in another; all of them, and the busy programs, have the same
priority. An alarm is false by construction: the agent was alive all the time. A gap is the time between two heartbeats,
0.25 s where nothing is late.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

from loguru import logger

from benchmarks.child_process import START_LIMIT_S, Failed, child
from benchmarks.density_callers import call_gateway
from benchmarks.density_recording import STAGGER_S, caller_frames
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.instances import Instance
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.signaling.messages import Heartbeat

BUSY = "while True: pass"


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[None]:
    """Run programs that do nothing but compute."""
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for program in programs:
            program.kill()
        for program in programs:
            program.wait()


class Heartbeats:
    """Notes when heartbeats reach the switchboard, and which instances it takes for silent."""

    def __init__(self, gateway: Gateway) -> None:
        self.gaps: list[float] = []
        self.alarms = 0
        self.noting = False
        self._last: float | None = None
        silences = gateway.switchboard.silences
        self._heartbeat, self._silent = silences.heartbeat, silences.silent
        silences.heartbeat = self._on_heartbeat  # type: ignore[method-assign]
        silences.silent = self._on_silent  # type: ignore[method-assign]

    def _on_heartbeat(self, instance: Instance, message: Heartbeat, now: float) -> None:
        if self.noting and self._last is not None:
            self.gaps.append(now - self._last)
        self._last = now
        self._heartbeat(instance, message, now)

    def _on_silent(self, instance: Instance, why: str, now: float) -> None:
        self.alarms += self.noting
        self._silent(instance, why, now)


async def measure(load: int, options: argparse.Namespace) -> dict[str, Any]:
    """Make one measurement."""
    token = secrets.token_hex(8)
    config = GatewayConfig(
        port=0,
        agents={"benchmark": token},
        caller_keys=[token],
        records=False,
        webrtc_workers=0,
        offer_ms=5000,
    )
    frames = caller_frames(16000)
    async with Gateway(config) as gateway:
        heartbeats = Heartbeats(gateway)
        agent_options = {"side": "ours", "calls": options.calls, "rate": 16000, "loop": options.loop}
        with child(
            "density_agents", token=token, url=gateway.url, seconds=options.seconds, **agent_options
        ) as agent:
            await gateway.wait_for_agent("benchmark", START_LIMIT_S)
            lines = []
            for _ in range(options.calls):
                lines.append(await call_gateway(gateway.url, token, 16000, frames))
                await asyncio.sleep(STAGGER_S)
            with busy_programs(load):
                heartbeats.noting = True
                limit_s = START_LIMIT_S + options.seconds
                await asyncio.to_thread(agent.answer, "steady_ms", limit_s)
                heartbeats.noting = False
            for _, hang_up in lines:
                hang_up()
            await asyncio.to_thread(agent.answer, "total_ms", START_LIMIT_S)
    gaps = sorted(heartbeats.gaps)
    return {
        "load": load,
        "heartbeats": len(gaps),
        "median_s": round(statistics.median(gaps), 3),
        "p99_s": round(gaps[int(len(gaps) * 0.99)], 3),
        "longest_s": round(gaps[-1], 3),
        "false_alarms": heartbeats.alarms,
        "gaps_s": [round(gap, 3) for gap in heartbeats.gaps],
    }


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--calls", type=int, default=20)
    arguments.add_argument("--load", type=int, nargs="+", default=[0, 2, 4, 8], help="busy programs")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], default="asyncio")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    logger.remove()
    results = []
    print("load  heartbeats  median s  p99 s  longest s  false alarms")
    for load in options.load:
        try:
            found = asyncio.run(measure(load, options))
        except Failed as error:
            print(error, file=sys.stderr)
            return 1
        results.append(found)
        print(
            f"{load:>4}  {found['heartbeats']:>10}  {found['median_s']:>8.3f}  {found['p99_s']:>5.3f}  "
            f"{found['longest_s']:>9.3f}  {found['false_alarms']:>12}",
            flush=True,
        )
    if options.json:
        print(json.dumps({"calls": options.calls, "seconds": options.seconds, "results": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
