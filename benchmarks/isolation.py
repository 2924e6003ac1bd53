"""What a process for each call costs: the time until it takes calls, and the memory that it has of its own.

    python -m benchmarks.isolation             60 calls, one after the other, each in a process of its own
    python -m benchmarks.isolation --json      one JSON object as the last line
    python -m benchmarks.isolation --calls 2000 --at-once 4     what supervisor and template keep of many calls

A real gateway is in this process, the agent in another one, with ``isolation="process"``. Measured are the seconds from
the moment at which the supervisor asks for a call worker until it is registered, and the memory of eight idle ones
after the calls: PSS, in which a page that n processes share counts as its n-th part, and what is private. Beside it,
how long a program of the same bot takes from its start to its registration; and what supervisor and template hold
before and after the calls, and the CPU time of an idle call worker. Exits with 1 if a call has failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from benchmarks.benchmark_options import count
from benchmarks.child_process import Failed, Program, program

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.server import Gateway

AGENT_ID, TOKEN, KEY = "isolated", "agent-token", "caller-key"
WARM = 8
FRESH_STARTS = 3
LIMIT_S = 60.0
SETTLE_S = 3.0
IDLE_S = 15.0


# ---------------------------------------------------------------------- the agent's process


async def on_new_session(call: Any) -> None:
    """Say a word, and hang up."""
    from benchmarks.instant_services import InstantLLM, InstantSTT, InstantTTS, Tally
    from piopiy_pipeline import VoiceAgent

    tally = Tally()
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
    await agent.Action(stt=InstantSTT(tally), llm=InstantLLM(tally), tts=InstantTTS(tally))

    async def hang_up(_: object) -> None:
        await agent.hangup()

    agent.on("answered", hang_up)
    await agent.start()


async def be_agent(isolation: str) -> None:
    """Serve, and print each call worker once it is ready."""
    import pipecat.services.openai.llm  # noqa: F401  as a bot's file imports its services

    from piopiy_pipeline import Agent

    options: dict[str, Any] = {"isolation": "process", "workers": "call", "warm": WARM}
    agent = Agent(AGENT_ID, TOKEN, on_new_session, **(options if isolation == "process" else {}))

    async def tell() -> None:
        told: set[str] = set()
        while True:
            for worker in agent.call_workers:
                if worker.ready_s is not None and worker.instance_id not in told:
                    told.add(worker.instance_id)
                    print(json.dumps({"pid": worker.pid, "ready_s": worker.ready_s}), flush=True)
            await asyncio.sleep(0.02)

    telling = asyncio.create_task(tell())
    await agent.connect()
    telling.cancel()


# ---------------------------------------------------------------------- the measuring process


def memory_mb(pid: int) -> dict[str, float] | None:
    """Return the PSS and the private memory of a process in MB, or None if it has ended."""
    sizes = dict.fromkeys(("Pss", "Private_Dirty", "Private_Clean"), 0)
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return None
    for line in rollup.splitlines()[1:]:
        name, _, size = line.partition(":")
        if name in sizes:
            sizes[name] = int(size.split()[0])
    return {
        "pss": sizes["Pss"] / 1024,
        "private": (sizes["Private_Dirty"] + sizes["Private_Clean"]) / 1024,
    }


def held(pid: int) -> dict[str, float]:
    """Return what a process holds."""
    memory = memory_mb(pid) or {"private": 0.0}
    count = {name: len(list(Path(f"/proc/{pid}/{name}").iterdir())) for name in ("fd", "task")}
    return {"descriptors": count["fd"], "threads": count["task"], "private_mb": round(memory["private"], 1)}


def first_child(pid: int) -> int:
    """Return the process that a process has forked first: of a supervisor, the template."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def cpu_s(pid: int) -> float | None:
    """Return the CPU time of a process in seconds, or None if it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def idle_cpu(pids: list[int]) -> float:
    """Return the CPU time that processes which do nothing take, in percent of a core each."""
    before = {pid: used for pid in pids if (used := cpu_s(pid)) is not None}
    await asyncio.sleep(IDLE_S)
    spent = [after - before[pid] for pid in before if (after := cpu_s(pid)) is not None]
    return 100 * statistics.fmean(spent) / IDLE_S


def agent_process(url: str, isolation: str) -> contextlib.AbstractAsyncContextManager[Program]:
    """Run this file as an agent."""
    environment = {"PIOPIY_URL": url, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.isolation", "--agent", isolation]
    return program(*command, environment=environment, pipes=True)


async def call_once(url: str) -> str | None:
    """Call the agent, and stay until it hangs up. Returns why that was no call, if it was none."""
    from piopiy_pipeline.cli.errors import CliError
    from piopiy_pipeline.cli.gateway_link import GatewayLink
    from piopiy_pipeline.cli.place_call import place_call
    from piopiy_pipeline.cli.target import Target
    from piopiy_pipeline.cli.turns import load_script
    from piopiy_pipeline.signaling.caller import CallStart
    from piopiy_pipeline.testing import CallerGaveUp, Habits

    start = CallStart.model_validate({"rate": 16000, "from_number": "+15550100", "to_number": "+15550199"})
    caller = load_script([], [], 16000, habits=Habits(hangup_after_s=5.0))

    def tell(link: GatewayLink) -> None:
        link.take_sounds()  # else they are kept

    try:
        return (await place_call(Target(url, AGENT_ID, KEY), caller, start, limit_s=20.0, tell=tell)).failure
    except (CliError, CallerGaveUp) as error:
        return str(error)


async def registered(gateway: Gateway, agent: Program) -> None:
    """Wait until an agent takes calls. Raises `Failed`."""
    from piopiy_pipeline.gateway import GatewayError

    try:
        await gateway.wait_for_agent(AGENT_ID, LIMIT_S)
    except GatewayError as error:
        raise agent.failed(str(error)) from None


async def read(agent: Program, ready_s: list[float], pids: list[int]) -> None:
    """Note which call workers an agent has had, and when each was ready, until it ends."""
    assert agent.process.stdout is not None
    async for line in agent.process.stdout:
        found = json.loads(line)
        ready_s.append(found["ready_s"])
        pids.append(found["pid"])


async def measure(calls: int, at_once: int) -> dict[str, Any]:
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.server import Gateway

    config = GatewayConfig(
        port=0, agents={AGENT_ID: TOKEN}, caller_keys=[KEY], records=False, webrtc_workers=0
    )
    ready_s: list[float] = []
    pids: list[int] = []
    async with Gateway(config) as gateway:
        fresh_s = []
        for _ in range(FRESH_STARTS):
            began = time.monotonic()
            async with agent_process(gateway.url, "task") as fresh:
                await registered(gateway, fresh)
                fresh_s.append(time.monotonic() - began)
        async with agent_process(gateway.url, "process") as agent:
            reading = asyncio.create_task(read(agent, ready_s, pids))
            await registered(gateway, agent)
            await asyncio.sleep(SETTLE_S)
            at_start = list(ready_s)
            template = first_child(agent.pid)
            before = {"supervisor": held(agent.pid), "template": held(template)}
            failures: Counter[str] = Counter()
            for done in range(0, calls, at_once):
                some = (call_once(gateway.url) for _ in range(min(at_once, calls - done)))
                failures.update(why for why in await asyncio.gather(*some) if why is not None)
                if agent.has_ended:
                    raise agent.failed("the agent has ended")
            await asyncio.sleep(SETTLE_S)
            after_calls = {"supervisor": held(agent.pid), "template": held(template)}
            idle_percent = await idle_cpu(pids)
            idle = [found for found in map(memory_mb, pids) if found is not None]
        await reading
    after = sorted(ready_s[len(at_start) :])
    if not after:
        raise Failed(f"no call has had a call worker: {dict(failures)}")
    return {
        "calls": calls,
        "failed": dict(failures),
        "ready_ms_median": round(statistics.median(after) * 1000),
        "ready_ms_p95": round(after[int(0.95 * (len(after) - 1))] * 1000),
        "ready_ms_max": round(after[-1] * 1000),
        "at_start_ms": [round(each * 1000) for each in at_start],
        "fresh_start_ms": [round(each * 1000) for each in fresh_s],
        "held_before": before,
        "held_after": after_calls,
        "idle_cpu_percent": round(idle_percent, 2),
        "idle_workers": len(idle),
        "idle_pss_mb": round(statistics.median(each["pss"] for each in idle), 1),
        "idle_private_mb": round(statistics.median(each["private"] for each in idle), 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=count, default=60)
    parser.add_argument("--at-once", type=count, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--agent", choices=("task", "process"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.agent:
        asyncio.run(be_agent(options.agent))
        return 0
    logger.remove()
    found = asyncio.run(measure(options.calls, options.at_once))
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:18} {value}")
    return int(bool(found["failed"]))


if __name__ == "__main__":
    sys.exit(main())
