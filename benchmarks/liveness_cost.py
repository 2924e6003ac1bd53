"""What heartbeats and the watchdog cost an agent: CPU time of its process, with no calls but the counts of 20.

    python benchmarks/liveness_cost.py                  20 s each: without both, with heartbeats, with both
    python benchmarks/liveness_cost.py --seconds 60 --repeats 3 --loop uvloop

The gateway is this process, and the agent a child whose CPU clock is read. What both add is independent of what calls
cost, but for the counts in a heartbeat, which are those of 20 calls. Compare with `density.py`: 20 calls there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from loguru import logger

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway

ROOT = Path(__file__).resolve().parent.parent
MODES = ("neither", "heartbeats", "both")
CALLS = 20
SETTLE_S = 3.0


async def agent(options: argparse.Namespace) -> None:
    """Serve for a while, and print the CPU time per second."""

    async def no_calls() -> None:
        """Never called."""

    patches: list[Any] = []
    if options.mode == "neither":
        patches.append(
            mock.patch("piopiy_pipeline.agent.gateway_connection.takes_heartbeats", return_value=False)
        )
    if options.mode != "both":
        patches.append(mock.patch.object(Agent, "_watch_loop", return_value=None))
    for patch in patches:
        patch.start()
    one = Agent("benchmark", options.token, no_calls, options.url)
    links = {
        secrets.token_hex(16): SimpleNamespace(heard_bytes=10**7, said_bytes=10**7) for _ in range(CALLS)
    }
    one._media._links.update(links)  # type: ignore[arg-type]
    serving = asyncio.create_task(one.connect())
    await asyncio.sleep(SETTLE_S)
    cpu, began = time.process_time(), time.monotonic()
    await asyncio.sleep(options.seconds)
    cpu, wall = time.process_time() - cpu, time.monotonic() - began
    print(json.dumps({"ms_a_second": cpu / wall * 1e3}), flush=True)
    await one.shutdown()
    await serving


async def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Run the agents one after another, and return what each has printed."""
    token = secrets.token_hex(8)
    config = GatewayConfig(port=0, agents={"benchmark": token}, records=False, webrtc_workers=0)
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    async with Gateway(config) as gateway:
        for _ in range(options.repeats):
            for mode in MODES:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "benchmarks.liveness_cost", "--mode", mode, "--token", token),
                    *("--url", gateway.url, "--seconds", str(options.seconds), "--loop", options.loop),
                    cwd=ROOT,
                    stdout=subprocess.PIPE,
                )
                printed, _ = await process.communicate()
                found[mode].append(json.loads(printed)["ms_a_second"])
    return found


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--seconds", type=float, default=20.0)
    arguments.add_argument("--repeats", type=int, default=1, help="the median counts")
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], default="asyncio")
    arguments.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    arguments.add_argument("--token", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    logger.remove()
    if options.mode:
        run = asyncio.run
        if options.loop == "uvloop":
            import uvloop

            run = uvloop.run
        run(agent(options))
        return
    found = asyncio.run(measure(options))
    print("CPU ms a second of an agent without calls")
    for mode, values in found.items():
        print(f"{mode:<11} {statistics.median(values):6.2f}")


if __name__ == "__main__":
    main()
