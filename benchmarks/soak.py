"""Twenty callers for a quarter of an hour, while agents are killed, stopped, cut off and harmed by calls, at random.

    python -m benchmarks.soak                            15 minutes, 20 callers at any time
    python -m benchmarks.soak --minutes 2 --seed 7       the same draws again: not the same moments, processes are real
    python -m benchmarks.soak --speech-to-speech         good calls are with a model that hears and speaks
    python -m benchmarks.soak --json                     one JSON object as the last line

A gateway and three agents are processes of their own, two with `isolation="task"`, one with "process"; the network to
one of them can stall. Each could take all calls. Most calls speak without a pause until their caller hangs up, after a
random time; one in five goes wrong in a way of `tests/support/faulty_agent.py`. Every few seconds something is done to
an agent. Each end of a call that is not its caller's must have an explanation: its own fault, more losses than a call
may have, a time in which no agent was alive, or one in which the gateway heard of none, because the machine had no time
for those that there were, or even for this process; such ends are counted apart. At the end, when all callers have hung
up, agents and gateway must hold what they held when they were new. Ends with 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from random import Random
from typing import Any

from loguru import logger
from websockets.exceptions import WebSocketException

from benchmarks.benchmark_options import new_file
from benchmarks.soak_ends import ALONE_S, ENDS, FDS_LEFT, STOOD_S, UNBOUNDED, SoakedCall, left_at
from benchmarks.soak_instances import LoggedInstances
from benchmarks.soak_processes import call_workers, open_fds, signal_all, threads
from piopiy_pipeline.testing import OpenAIRealtimeServer, Replies
from tests.support.bots import LONG
from tests.support.chaos import ChaosAgent, ChaosCaller, ChaosPlace, chaos, pss_mb
from tests.support.openai_server import Answer, endpoint
from tests.support.stalling_proxy import StallingProxy, stalling_proxy

AGENT = "tests.support.faulty_agent"
ISOLATIONS = ("task", "task", "process")
FAULTY_SHARE = 0.2
MEAN_CALL_S = 20.0
PAUSE_S = 1.0
HARM_EVERY_S = (5.0, 12.0)
HARMS = ("kill", "stop", "stall", "kill_worker")
FAR = 1
"""The agent whose network can stall."""
CAPACITY = 60
DEADLY = ("os_exit", "segfaults", "sleeps")
"""Faults that may cost a process with all its calls, and are drawn less often."""
START_S = 180.0
"""An agent that is started again on a busy machine may take so long."""
LOG_LINES = 6
"""So much of the gateway's log is printed of a call that ended without an explanation."""
SETTLE_S = 8.0


@dataclass
class Soak:
    """What was done, and what came of it."""

    seed: int
    began: float
    calls: int = 0
    not_placed: int = 0
    """Of these, calls that the gateway does not know: what it knows has an id."""
    ends: Counter[str] = field(default_factory=Counter)
    """By the call's fault, how it ended and why that may be."""
    harms: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    silences_s: list[float] = field(default_factory=list)
    """The longest silence of each good call that lasted for a second or longer."""
    alone_at: float = -1e9
    """When no agent was alive last, or none was registered."""
    unheard_at: float = -1e9
    """When the gateway last heard of no agent, though one was alive."""
    silences: Counter[str] = field(default_factory=Counter)
    """How often an instance went silent, by why."""
    load_max: float = 0.0
    gateway_mb: list[float] = field(default_factory=list)
    gateway_mb_settled: float = 0.0
    """When all calls were over."""
    lateness_s: float = 0.0
    """For how long this process's own loop stood at most."""
    log: str = ""
    """The gateway's."""

    @property
    def exit_status(self) -> int:
        """1 if a call has ended as none may, or if something is left."""
        return int(bool(self.unexplained or self.left))


# ---------------------------------------------------------------------- callers


async def keep_calling(
    place: ChaosPlace, soak: Soak, slot: int, end_at: float, faults: dict[str, Any]
) -> None:
    """Call, hang up, and call again."""
    loop, random = asyncio.get_running_loop(), Random(f"{soak.seed} caller {slot}")
    await asyncio.sleep(random.uniform(0, 2))
    while loop.time() < end_at:
        weights = [0.2 if name in DEADLY else 1.0 for name in sorted(faults)]
        [fault] = random.choices(sorted(faults), weights) if random.random() < FAULTY_SHARE else [""]
        stay_s = min(1 + random.expovariate(1 / MEAN_CALL_S), 90.0)
        metadata = {"fault": fault} if fault else {}
        if fault == "model":
            metadata["url"] = random.choice(faults["model"])
        began = loop.time()
        try:
            caller = await place.caller(metadata)
        except (OSError, TimeoutError, WebSocketException) as error:
            stood = place.lateness.between(began, loop.time()) >= STOOD_S
            soak.ends[f"no connection{' (the machine stood still)' if stood else ''}"] += 1
            if not stood:
                soak.unexplained.append(f"{began - soak.began:.1f} s: no connection: {error!r}")
            continue
        soak.calls += 1
        leave_at = min(began + stay_s, end_at)
        while caller.ended is None and loop.time() < leave_at:  # noqa: ASYNC110  the harness has no event
            await asyncio.sleep(0.05)
        now = loop.time()
        heard = next((at for at, pitch in caller.heard if pitch), None)
        call = SoakedCall(fault, now - began, heard is not None, caller.ended)
        if caller.ended is not None:
            soak.not_placed += not caller.call_id
        elif not fault and heard is not None and now - heard > 1:
            soak.silences_s.append(caller.longest_silence_s(heard, now))
        stood_s = place.lateness.between(now - ALONE_S, now)
        counted, wrong = call.judge(now - soak.alone_at, now - soak.unheard_at, stood_s)
        soak.ends[counted] += 1
        if wrong:
            soak.unexplained.append(f"{now - soak.began:.1f} s: {wrong}")
            print(soak.unexplained[-1], *logged(place, caller), sep="\n  ", flush=True)
        await leave(caller)
        await asyncio.sleep(random.uniform(0, PAUSE_S))


def logged(place: ChaosPlace, caller: ChaosCaller) -> list[str]:
    """Return what the gateway has logged of a call at last."""
    lines = place.gateway_log.splitlines() if caller.call_id else []
    return [line for line in lines if caller.call_id in line][-LOG_LINES:]


async def leave(caller: ChaosCaller) -> None:
    """Hang up, and keep nothing."""
    if caller.ended is None:
        await caller.hang_up()
    caller.heard.clear()


# ---------------------------------------------------------------------- agents


class Agents:
    """The agents. One that has ended is started again."""

    def __init__(self, place: ChaosPlace, network: StallingProxy, soak: Soak, own: dict[str, str]) -> None:
        self.instances = LoggedInstances(lambda: place.gateway_log)
        self.running: list[ChaosAgent | None] = [None] * len(ISOLATIONS)
        self.restarts = 0
        self._silent: set[int] = set()  # those that are stopped or cut off
        self._place, self._network, self._soak = place, network, soak
        self._own = own  # what else is in their environment

    async def start(self, number: int) -> None:
        """Start one, and note what it holds without a call."""
        self._place.agents.clear()  # its pitches are for three
        environment = {
            "PIOPIY_ISOLATION": ISOLATIONS[number],
            "PIOPIY_WORKERS": "3",
            "BLOCKED_CALL_S": "3",
            "CAPACITY": str(CAPACITY),
            "REPLY_S": "10",  # as it is by default: a busy machine is no fault of a voice
            **self._own,
        }
        agent = await self._place.add_agent(
            url=self._network.url if number == FAR else None,
            module=AGENT,
            environment=environment,
            start_s=START_S,
        )
        self.running[number] = agent

    async def keep(self, end_at: float) -> None:
        """Start again what has ended, as a service manager does."""
        async with asyncio.TaskGroup() as group:
            for number in range(len(ISOLATIONS)):
                group.create_task(self._keep(number, end_at))
            loop = asyncio.get_running_loop()
            while loop.time() < end_at:
                self.instances.read()
                alive = any(self._alive(number) for number in range(len(ISOLATIONS)))
                if not (alive and self.instances.connected):
                    self._soak.alone_at = loop.time()
                elif not self.instances.heard:
                    self._soak.unheard_at = loop.time()
                await asyncio.sleep(0.05)

    def _alive(self, number: int) -> bool:
        agent = self.running[number]
        return agent is not None and agent.process.returncode is None and number not in self._silent

    async def _keep(self, number: int, end_at: float) -> None:
        loop = asyncio.get_running_loop()
        while loop.time() < end_at:
            agent = self.running[number]
            if agent is not None and agent.process.returncode is not None:
                self.restarts += 1
                self.running[number] = None
                await agent.close()
                await self.start(number)
            await asyncio.sleep(0.2)

    async def harm(self, end_at: float) -> None:
        """Do something to one of them, and again, until `end_at`."""
        loop, random = asyncio.get_running_loop(), Random(f"{self._soak.seed} harm")
        while True:
            await asyncio.sleep(random.uniform(*HARM_EVERY_S))
            kind, number, seconds = (
                random.choice(HARMS),
                random.randrange(len(ISOLATIONS)),
                random.uniform(1, 6),
            )
            number = {"kill_worker": ISOLATIONS.index("process"), "stall": FAR}.get(kind, number)
            if loop.time() + seconds > end_at:
                return
            agent = self.running[number]
            if agent is None or agent.process.returncode is not None:
                continue
            self._soak.harms[f"{kind} ({ISOLATIONS[number]})"] += 1
            await self._do(kind, number, agent, seconds, random)

    async def _do(self, kind: str, number: int, agent: ChaosAgent, seconds: float, random: Random) -> None:
        match kind:
            case "kill":
                agent.kill()
            case "kill_worker":
                workers = sorted(call_workers(agent.process.pid))
                if workers:
                    os.kill(random.choice(workers), signal.SIGKILL)
            case "stop":
                pids = [agent.process.pid, *call_workers(agent.process.pid)]
                self._silent.add(number)
                signal_all(pids, signal.SIGSTOP)
                await asyncio.sleep(seconds)
                signal_all(pids, signal.SIGCONT)
                self._silent.discard(number)
            case "stall":
                self._silent.add(number)
                self._network.stall()
                await asyncio.sleep(seconds)
                self._network.resume()
                self._silent.discard(number)


# ---------------------------------------------------------------------- what is left


async def compare(agents: Agents, new: dict[str, Any], soak: Soak) -> None:
    """Note what agents hold without a call that a new one of their kind does not."""
    for number, agent in enumerate(agents.running):
        if agent is None or agent.process.returncode is not None:
            continue
        name, before = f"agent {number} ({ISOLATIONS[number]})", new[ISOLATIONS[number]]
        try:
            after = await agent.census()
        except AssertionError:
            soak.left.append(f"{name} does not answer: {agent.log[-500:]}")
            continue
        soak.left += left_at(name, before, after)


# ---------------------------------------------------------------------- the whole


async def run(options: argparse.Namespace) -> tuple[Soak, dict[str, Any]]:
    """Run all of it."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(chaos(agents=0, settings=["callers_may_watch = true"]))
        assert place.gateway is not None
        port, gateway = int(place.url.rpartition(":")[2]), place.gateway.process.pid
        network = await stack.enter_async_context(stalling_proxy(port))
        soak = Soak(options.seed, loop.time())
        own: dict[str, str] = {}
        if options.speech_to_speech:
            server = OpenAIRealtimeServer(
                Replies(otherwise=LONG)
            )  # asked when a call goes on at another agent
            own["REALTIME_URL"] = (await stack.enter_async_context(server)).url
        agents = Agents(place, network, soak, own)
        new: dict[str, Any] = {}
        for number, isolation in enumerate(ISOLATIONS):
            await agents.start(number)
            agent = agents.running[number]
            assert agent is not None
            await asyncio.sleep(1)
            new[isolation] = await agent.census()
        models = [
            (await stack.enter_async_context(endpoint(answer))).url
            for answer in (Answer("busy"), Answer("garbage"), Answer("silent"), Answer("stuck", "A table"))
        ]
        faults: dict[str, Any] = {**ENDS, **(UNBOUNDED if options.unbounded else {}), "model": models}
        fds, thread_count = open_fds(gateway), threads(gateway)
        soak.began = loop.time()
        end_at = soak.began + 60 * options.minutes
        async with asyncio.TaskGroup() as group:
            group.create_task(agents.keep(end_at))
            group.create_task(agents.harm(end_at - 2 * SETTLE_S))
            group.create_task(tell(soak, gateway, end_at))
            for slot in range(options.calls):
                group.create_task(keep_calling(place, soak, slot, end_at, faults))
        await asyncio.sleep(SETTLE_S)
        await compare(agents, new, soak)
        if open_fds(gateway) > fds + FDS_LEFT:
            soak.left.append(f"gateway: {open_fds(gateway)} descriptors, {fds} before")
        if threads(gateway) > thread_count:
            soak.left.append(f"gateway: {threads(gateway)} threads, {thread_count} before")
        ended = place.gateway_log.count("gateway: call of agent ")
        if ended != soak.calls - soak.not_placed:
            soak.left.append(f"gateway: {soak.calls - soak.not_placed} calls, of which {ended} have ended")
        soak.gateway_mb_settled = pss_mb(gateway)
        soak.silences = agents.instances.silences
        soak.log, soak.lateness_s = place.gateway_log, place.lateness.longest_s
        return soak, summary(soak, agents.restarts, options)


async def tell(soak: Soak, gateway: int, end_at: float) -> None:
    """Print how it goes, every half minute."""
    loop = asyncio.get_running_loop()
    while loop.time() < end_at:
        soak.gateway_mb.append(pss_mb(gateway))
        soak.load_max = max(soak.load_max, os.getloadavg()[0])
        print(
            f"{loop.time() - soak.began:5.0f} s: {soak.calls} calls, {sum(soak.harms.values())} harms,"
            f" {len(soak.unexplained)} unexplained, gateway {soak.gateway_mb[-1]:.0f} MB",
            flush=True,
        )
        await asyncio.sleep(min(30.0, max(end_at - loop.time(), 0.1)))
    soak.gateway_mb.append(pss_mb(gateway))


def summary(soak: Soak, restarts: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures."""
    silences = sorted(soak.silences_s) or [0.0]
    quarter = soak.gateway_mb[len(soak.gateway_mb) // 4]
    return {
        "seed": soak.seed,
        "minutes": options.minutes,
        "calls": soak.calls,
        "harms": dict(sorted(soak.harms.items())),
        "agents_started_again": restarts,
        "ends": dict(sorted(soak.ends.items())),
        "unexplained": soak.unexplained,
        "left": soak.left,
        "silence_median_s": round(statistics.median(silences), 2),
        "silence_p95_s": round(silences[int(0.95 * (len(silences) - 1))], 2),
        "silence_max_s": round(silences[-1], 2),
        "silent_instances": dict(sorted(soak.silences.items())),
        "load_max": round(soak.load_max, 1),
        "own_lateness_max_s": round(soak.lateness_s, 2),
        "gateway_mb_first_last": [round(soak.gateway_mb[0], 1), round(soak.gateway_mb[-1], 1)],
        "gateway_mb_settled": round(soak.gateway_mb_settled, 1),
        "gateway_growth_mb_after_a_quarter": round(soak.gateway_mb[-1] - quarter, 1),
    }


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--calls", type=int, default=20, help="callers at any time")
    parser.add_argument("--seed", type=int, default=None, help="by default the time")
    parser.add_argument("--unbounded", action="store_true", help="with voices and stages that never end, too")
    parser.add_argument("--speech-to-speech", action="store_true", help="good calls are with such a model")
    parser.add_argument("--log", type=new_file, metavar="FILE", help="write the gateway's log there")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.seed = int(time.time()) if options.seed is None else options.seed
    logger.remove()
    print(f"seed {options.seed}", flush=True)
    soak, found = asyncio.run(run(options))
    if options.log:
        options.log.write_text(soak.log)
    for name, value in found.items():
        print(f"{name:34} {value}")
    if options.json:
        print(json.dumps(found))
    return soak.exit_status


if __name__ == "__main__":
    sys.exit(main())
