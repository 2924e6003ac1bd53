"""What heartbeats and the watchdog cost an agent: CPU time of its process, with no calls but the counts of 20.

    python -m benchmarks.liveness_cost                  30 slots of 2 s: without both, with heartbeats, with both
    python -m benchmarks.liveness_cost --slots 60 --loop uvloop

The gateway is this process. The agents are three children, which run at the same time, so that whatever slows down the
machine slows down all of them: in each slot the CPU time of one is compared with that of the one without both, and the
median of these differences counts, with its quartiles. What both add is independent of what calls cost, but for the
counts in a heartbeat, which are those of 20 calls. The share is that of 20 calls at 8.5 ms a second each
(`density.py`, on an idle machine); with what the guards of streams add (`streams.py`) it is to be under 3%.
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
AGENT_MS = 8.5
"""CPU time of a call a second, in ms, by `benchmarks/density.py` on an idle machine."""
SETTLE_S = 15.0
"""From the start of the three until the first slot, in seconds."""


async def agent(options: argparse.Namespace) -> None:
    """Serve for a while, and print the CPU time per second of each slot."""

    async def no_calls() -> None:
        """Never called."""

    patches: list[Any] = []
    if options.mode == "neither":
        patches.append(
            mock.patch("piopiy_pipeline.agent.signaling_connection.takes_heartbeats", return_value=False)
        )
    if options.mode != "both":
        patches.append(mock.patch.object(Agent, "_watch_loop", return_value=None))
    for patch in patches:
        patch.start()
    one = Agent("benchmark", options.token, no_calls, options.url)
    links = {
        secrets.token_hex(16): SimpleNamespace(heard_bytes=10**7, said_bytes=10**7) for _ in range(CALLS)
    }
    media = one._calls.media
    for call_id, link in links.items():
        media._links[call_id] = link  # type: ignore[assignment]
        media._owners[call_id] = None
    serving = asyncio.create_task(one.connect())
    slots = []
    await asyncio.sleep(options.begin - time.time())
    media._owners.update(dict.fromkeys(links, one._connection.home))
    for number in range(1, options.slots + 1):
        cpu, began = time.process_time(), time.monotonic()
        await asyncio.sleep(options.begin + number * options.slot_s - time.time())
        slots.append((time.process_time() - cpu) / (time.monotonic() - began) * 1e3)
    print(json.dumps(slots), flush=True)
    await one.shutdown()
    await serving


async def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Run the agents at the same time, and return what each has printed."""
    token = secrets.token_hex(8)
    config = GatewayConfig(port=0, agents={"benchmark": token}, records=False, webrtc_workers=0)
    async with Gateway(config) as gateway:
        begin = str(time.time() + SETTLE_S)
        processes = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.liveness_cost", "--mode", mode, "--token", token),
                *("--url", gateway.url, "--slots", str(options.slots), "--slot-s", str(options.slot_s)),
                *("--loop", options.loop, "--begin", begin),
                cwd=ROOT,
                stdout=subprocess.PIPE,
            )
            for mode in MODES
        ]
        printed = await asyncio.gather(*(process.communicate() for process in processes))
    return {mode: json.loads(out) for mode, (out, _) in zip(MODES, printed, strict=True)}


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--slots", type=int, default=30)
    arguments.add_argument("--slot-s", type=float, default=2.0)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], default="asyncio")
    arguments.add_argument("--mode", choices=MODES, help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    arguments.add_argument("--begin", type=float, help=argparse.SUPPRESS)
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
    print(
        f"CPU ms a second of an agent without calls, and what it has more than the first: {options.slots} slots"
    )
    for mode, values in found.items():
        more = [one - other for one, other in zip(values, found["neither"], strict=True)]
        low, median, high = statistics.quantiles(more, n=4)
        print(
            f"{mode:<11} {statistics.median(values):6.2f}   {median:+6.2f} ({low:+.2f} to {high:+.2f})"
            f"   {median / (CALLS * AGENT_MS):6.2%} of {CALLS} calls"
        )


if __name__ == "__main__":
    main()
