"""What a call of Piopiy's cloud costs the gateway, and how soon it is accepted, against the fake of `tests/cloud`.

    .venv/bin/python -m benchmarks.cloud_leg --calls 10

The gateway is in this process, the agent and the cloud with its rooms are in processes of their own, and all are in a
network of their own on this machine: the internet is not in these numbers. Each caller hears one long sentence.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import Any

from tests.cloud.cloud_stories import STARTS_S, place
from tests.support.agents import AgentProcess
from tests.support.alone import run_alone
from tests.support.bots import LONG
from tests.support.calls import AGENT_ID
from tests.support.services import SECONDS_A_CHARACTER

MEASURED_S = 4.0


async def _measure(calls: int) -> dict[str, Any]:
    said_s = SECONDS_A_CHARACTER * len(LONG)
    async with place(agent=False, max_calls=calls) as here:
        agent = await AgentProcess.start(here.gateway.url)
        try:
            await here.gateway.wait_for_agent(AGENT_ID, STARTS_S)
            await here.cloud.wait("register")
            await asyncio.sleep(1.0)
            jobs = [f"call-{number}" for number in range(calls)]
            for job in jobs:
                await here.takes(job, bot="talks")
            begun, cpu, loop = time.monotonic(), time.process_time(), time.thread_time()
            await asyncio.sleep(MEASURED_S)
            used_s, loop_s = time.process_time() - cpu, time.thread_time() - loop
            passed_s = time.monotonic() - begun
            await asyncio.sleep(max(0.0, said_s + 1.0 - passed_s))
            heard = [await here.cloud.heard(job) for job in jobs]
        finally:
            agent.process.kill()
            await agent.process.wait()
        accepted_ms = [one["ms"] for one in here.cloud.of("accepted")]
        longer_s = [one["last_at"] - one["first_at"] - one["loud_s"] for one in heard]
        return {
            "calls": calls,
            "accepted_ms": {"median": statistics.median(accepted_ms), "most": max(accepted_ms)},
            "cpu_ms_per_call_second": round(1000 * used_s / passed_s / calls, 2),
            "of_it_on_the_loop": round(1000 * loop_s / passed_s / calls, 2),
            "said_s": round(said_s, 2),
            "heard_s": {
                "least": min(one["loud_s"] for one in heard),
                "most": max(one["loud_s"] for one in heard),
            },
            "silence_within_s": round(max(longer_s), 3),
            "dropped": sum(call.leg.frames_dropped for call in here.gateway.switchboard.calls),
        }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=10)
    options.add_argument("--here", action="store_true", help="in this network, which must be one of its own")
    given = options.parse_args()
    if given.here:
        print(json.dumps(asyncio.run(_measure(given.calls))))
    else:
        arguments = ("--here", "--calls", str(given.calls))
        json.dump(run_alone("benchmarks.cloud_leg", *arguments, timeout_s=200), sys.stdout, indent=2)
        print()
