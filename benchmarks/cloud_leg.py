"""What a call of Piopiy's cloud costs the gateway, and how soon it is accepted, against the fake of `tests/cloud`.

    .venv/bin/python -m benchmarks.cloud_leg --calls 1 10 30 --rounds 3
    .venv/bin/python -m benchmarks.cloud_leg --calls 30 --per-process 5 10 30 --where processes

The rooms are in leg processes, as they are in use, and in turns in the gateway's own process, as they were before there
were leg processes. The gateway is in this process, the agent and the cloud with its rooms are in processes of their
own, and all are in a network of their own on this machine: the internet is not in these numbers. Each caller hears one
long text meanwhile. What is measured is the CPU time of the gateway and of its leg processes, medians of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import time
from typing import Any
from unittest import mock

import psutil

from piopiy_pipeline.gateway.cloud.cloud_room import CloudRoom
from piopiy_pipeline.gateway.cloud.cloud_worker import CloudWorker
from piopiy_pipeline.gateway.cloud.room_leg import RATE
from piopiy_pipeline.gateway.cloud.room_port import CloudRoomListener, RoomPort
from tests.cloud.cloud_stories import STARTS_S, place
from tests.support.agents import AgentProcess
from tests.support.alone import run_alone
from tests.support.bots import LONG
from tests.support.calls import AGENT_ID

MEASURED_S = 6.0
WHERE = ("processes", "gateway")


def _in_the_gateway(worker: CloudWorker, call_id: str, listener: CloudRoomListener) -> RoomPort:
    return CloudRoom(listener, rate=RATE)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _measure(calls: int, per_process: int, where: str) -> dict[str, Any]:
    text = " ".join(
        [LONG] * (3 + calls // 3)
    )  # so long that the first caller still hears it when the last has come
    async with place(agent=False, max_calls=calls, calls_per_process=per_process) as here:
        agent = await AgentProcess.start(
            here.gateway.url, capacity=calls + 1, environment={"PIOPIY_LOAD_THRESHOLD": "1"}
        )
        try:
            await here.gateway.wait_for_agent(AGENT_ID, STARTS_S)
            await here.cloud.wait("register")
            await asyncio.sleep(1.0)
            jobs = [f"call-{number}" for number in range(calls)]
            for job in jobs:
                await here.takes(job, bot="talks", text=text)
            await asyncio.sleep(1.5)  # a process that is started ahead is ready
            pids = [process.pid for process in vars(here.gateway)["_cloud"].processes]
            legs = [psutil.Process(pid) for pid in pids] if where == "processes" else []
            before = [_cpu_s(leg) for leg in legs]
            begun, cpu, loop = time.monotonic(), time.process_time(), time.thread_time()
            await asyncio.sleep(MEASURED_S)
            gateway_s, loop_s = time.process_time() - cpu, time.thread_time() - loop
            legs_s = sum(_cpu_s(leg) for leg in legs) - sum(before)
            call_seconds = calls * (time.monotonic() - begun)
            heard = [await here.cloud.heard(job) for job in jobs]
            memory_mb = [leg.memory_full_info().pss / 1e6 for leg in legs]
        finally:
            agent.process.kill()
            await agent.process.wait()
        accepted_ms = [one["ms"] for one in here.cloud.of("accepted")]
        return {
            "accepted_ms": statistics.median(accepted_ms),
            "accepted_ms_most": max(accepted_ms),
            "cpu_ms_per_call_second": round(1000 * (gateway_s + legs_s) / call_seconds, 2),
            "of_it_in_the_gateway": round(1000 * gateway_s / call_seconds, 2),
            "of_it_on_its_loop": round(1000 * loop_s / call_seconds, 2),
            "longest_silence_s": max(one["hole_s"] for one in heard),
            "dropped": sum(call.leg.frames_dropped for call in here.gateway.switchboard.calls),
            "leg_processes": len(legs),
            "memory_mb_of_one": round(statistics.median(memory_mb)) if memory_mb else 0,
        }


def _run_here(calls: int, per_process: int, where: str) -> None:
    """Measure once, and print it. The end is quick: LiveKit's library may abort a process that it is taken down in."""
    if where == "gateway":
        with mock.patch.object(CloudWorker, "_room", _in_the_gateway):
            measured = asyncio.run(_measure(calls, per_process, where))
    else:
        measured = asyncio.run(_measure(calls, per_process, where))
    print(json.dumps(measured), flush=True)
    os._exit(0)


def _medians(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: (max if name.endswith(("_most", "silence_s")) else statistics.median)(
            [one[name] for one in rounds]
        )
        for name in rounds[0]
    }


def _main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--calls", type=int, nargs="+", default=[1, 10, 30])
    options.add_argument(
        "--per-process", type=int, nargs="+", default=[10], help="rooms that share a process"
    )
    options.add_argument("--where", choices=WHERE, nargs="+", default=list(WHERE))
    options.add_argument("--rounds", type=int, default=1)
    options.add_argument("--here", action="store_true", help="in this network, which must be one of its own")
    given = options.parse_args()
    if given.here:
        _run_here(given.calls[0], given.per_process[0], given.where[0])
    for calls in given.calls:
        for per_process in given.per_process:
            found: dict[str, list[dict[str, Any]]] = {where: [] for where in given.where}
            for _ in range(given.rounds):
                for where in given.where:
                    arguments = ("--calls", str(calls), "--per-process", str(per_process), "--where", where)
                    measured = run_alone("benchmarks.cloud_leg", "--here", *arguments, timeout_s=300)
                    found[where].append(measured)
            for where, rounds in found.items():
                shown = {"calls": calls, "per_process": per_process, "rooms": where, **_medians(rounds)}
                print(json.dumps(shown), flush=True)


if __name__ == "__main__":
    _main()
