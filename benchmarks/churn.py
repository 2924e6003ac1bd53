"""What many short calls leave behind at a gateway and at an agent: tasks, threads, descriptors, processes, memory.

    python -m benchmarks.churn                            2,000 calls, four at a time, in tasks
    python -m benchmarks.churn --isolation process        the same with call workers
    python -m benchmarks.churn --leg phone                telephones over SIP; or --leg browser: pages over WebRTC
    python -m benchmarks.churn --calls 500 --json         fewer; one JSON object as the last line
    python -m benchmarks.churn --at-once 20 --stay-s 6    longer calls, in which the caller is heard: what waits for a
                                                          collection of garbage is more in them

Gateway (records in SQLite, every call recorded) and agent are processes of their own, callers are in this one. Each
dials, hears the bot begin to speak, stays for `--stay-s`, and hangs up. Counted are the processes of each side with
all their children, from outside: threads, descriptors, and the memory that they have written to (``Pss_Anon``: a page
that several of them share counts once); tasks they count themselves, after a collection of garbage. What
200 calls have filled (caches, the allocator, the two descriptors of a connection to the database in its pool) is no
growth. Pages of libraries are not counted: whether they are one process's own or shared hangs on who else has the file
open, and they come and go by 6 MB (cryptography's library in the gateway) or 20 MB (onnxruntime's in the agent).
While calls are made, no collection is asked for: how much more memory there is at most at a look on the way, when no
call is in progress, than before the first of these calls, shows what garbage costs that waits for a collection.
The exit status is 1 if anything is left, or memory has grown by more than `--growth-mb` since the 200th call, or if
there was more by `--garbage-mb` at a look on the way than at first at the gateway. (A call worker that is new writes
to pages of its own at its first calls.)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import secrets
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from benchmarks.benchmark_options import count
from benchmarks.child_process import Program, program
from benchmarks.churn_callers import (
    AGENT_ID,
    KEY,
    LEGS,
    LIMIT_S,
    CallFailed,
    GatewayAddress,
    ShortCalls,
    callers_of,
)

SETTLE_S = 8.0
"""How long what ends after its call may take: the grace of callbacks, and a warm call worker that takes a place."""
WARM_UP = 200
PUT_AWAY_S = {"stream": 2.0, "phone": 35.0, "browser": 2.0}
"""How long the last calls have before a look at the memory. SIP keeps a transaction for 32 s, because its last message
may be lost (RFC 3261, timers H and J).
"""
REFUSALS, REFUSED_S = 60, 0.5
Counts = dict[str, float]


class Side:
    """The gateway or the agent: its process, and what is counted of it and its children."""

    def __init__(self, started: Program) -> None:
        self._started = started

    async def line(self, key: str) -> dict[str, Any]:
        """Return the next line of JSON that has `key`. Raises `Failed`."""
        while True:
            line = await self._started.line(repr(key), LIMIT_S)
            found = json.loads(line) if line.startswith(b"{") else {}
            if key in found:
                return dict(found)

    async def counts(self) -> Counts:
        """Count what there is now. Raises `Failed`."""
        stdin = self._started.process.stdin
        assert stdin is not None
        stdin.write(b"census\n")
        tasks = (await self.line("tasks"))["tasks"]
        return {"tasks": tasks} | _counted(self._started.pid)

    def memory_mb(self) -> float:
        """Return the memory that was written to, with all garbage that no collection has come for yet."""
        return _counted(self._started.pid)["memory_mb"]

    async def settled(self, like: Counts | None) -> Counts:
        """Count once things have settled: as soon as no more is there than before, within `SETTLE_S`."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            counts = await self.counts()
            if (like is not None and not leftovers(like, counts)) or time.monotonic() > deadline:
                return counts
            await asyncio.sleep(0.5)


def _counted(pid: int) -> Counts:
    """Count what a process and all that it has begun hold."""
    found: Counts = defaultdict(float, processes=0, threads=0, memory_mb=0)
    for one in _family(pid):
        with contextlib.suppress(OSError):  # it has just ended
            status = dict(line.split(":", 1) for line in Path(f"/proc/{one}/status").read_text().splitlines())
            memory = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            for descriptor in Path(f"/proc/{one}/fd").iterdir():
                found[f"descriptors of {_target(descriptor)}"] += 1
            found["processes"] += 1
            found["threads"] += int(status["Threads"])
            [written] = [line for line in memory if line.startswith("Pss_Anon")]
            found["memory_mb"] += int(written.split()[1]) / 1024
    return found


def _target(descriptor: Path) -> str:
    """Return what a descriptor is of: a kind, or a file's name without what is another one in each call."""
    try:
        target = str(descriptor.readlink())
    except OSError:
        return "what was closed just now"
    return re.sub(r"[0-9a-f-]{8,}", "*", Path(target.partition(":[")[0]).name)


def _family(pid: int) -> list[int]:
    """Return the ids of a process and all that it has begun."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def leftovers(before: Counts, after: Counts) -> list[str]:
    """Return what there is more of than before, but for memory."""
    return [
        f"{name}: {before.get(name, 0):g} -> {count:g}"
        for name, count in after.items()
        if name != "memory_mb" and count > before.get(name, 0)
    ]


def _descriptors(counts: Counts) -> Counts:
    return {name: count for name, count in counts.items() if name.startswith("descriptors")}


# ---------------------------------------------------------------------- the sides' own processes


def _answer_census() -> None:
    """Print how many tasks there are, whenever a line comes."""
    import gc

    def on_line() -> None:
        if sys.stdin.buffer.readline():
            gc.collect()
            print(json.dumps({"tasks": len(asyncio.all_tasks())}), flush=True)

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), on_line)


async def be_gateway(folder: str, token: str, leg: str) -> None:
    """Run the gateway, and print its address."""
    from piopiy_pipeline.gateway import Gateway, GatewayConfig

    telephones = {"port": 0, "transports": ["udp"], "callers": "anyone", "default_agent": AGENT_ID}

    config = GatewayConfig(
        port=0,
        agents={AGENT_ID: token},
        caller_keys=[KEY],
        offer_ms=30_000,
        setup_s=60,
        webrtc_workers=int(leg == "browser"),
        webrtc_addresses=["127.0.0.1"],
        calls_per_token=1000,
        console="open",
        sip=telephones if leg == "phone" else None,  # type: ignore[arg-type]  # pydantic makes it one
        data_folder=Path(folder),
        record=True,
        max_calls=1000,
    )
    async with Gateway(config) as gateway:
        await gateway.ready()
        _answer_census()
        sip_port = 0 if gateway.phones is None else gateway.phones.port
        print(json.dumps({"url": gateway.url, "sip_port": sip_port}), flush=True)
        await gateway.serve_forever()


async def on_new_session(call: Any) -> None:
    """Greet, and go on until the caller hangs up."""
    from benchmarks.instant_services import InstantLLM, InstantSTT, InstantTTS, Tally
    from piopiy_pipeline import VoiceAgent

    tally = Tally()
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", call=call)
    await agent.Action(stt=InstantSTT(tally), llm=InstantLLM(tally), tts=InstantTTS(tally))
    await agent.start()


async def be_agent(url: str, token: str, isolation: str, at_once: int) -> None:
    """Serve calls at `url`."""
    from piopiy_pipeline import Agent

    workers: dict[str, Any] = {"workers": 2} if isolation == "process" else {}
    agent = Agent(
        agent_id=AGENT_ID,
        agent_token=token,
        create_session=on_new_session,
        signaling_url=url,
        capacity=4 * at_once,
        isolation=isolation,  # type: ignore[arg-type]
        **workers,
    )
    connecting = asyncio.create_task(agent.connect())
    await asyncio.sleep(0)
    _answer_census()
    print(json.dumps({"agent": True}), flush=True)
    await connecting


# ---------------------------------------------------------------------- the callers


async def many(calls: ShortCalls, count: int, at_once: int, refused: list[str], stay_s: float = 0.0) -> None:
    """Make `count` calls. One that is refused, because the calls before it are still being put away, is made again."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            for _ in range(REFUSALS):
                try:
                    await calls.call(stay_s)
                    break
                except CallFailed as error:
                    if not error.full:
                        raise
                    refused.append(str(error))
                    await asyncio.sleep(REFUSED_S)
            else:
                raise CallFailed(f"refused {REFUSALS} times")

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(caller())


@contextlib.asynccontextmanager
async def side(*arguments: str) -> AsyncIterator[Side]:
    """Run one of the sides for a while."""
    async with program(sys.executable, "-m", "benchmarks.churn", *arguments, pipes=True) as started:
        yield Side(started)


async def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Make the calls, and return what was counted."""
    token, began = secrets.token_hex(8), time.monotonic()
    found: dict[str, Any] = {
        "calls": options.calls,
        "leg": options.leg,
        "isolation": options.isolation,
        "at_once": options.at_once,
        "stay_s": options.stay_s,
    }
    with tempfile.TemporaryDirectory() as folder:
        be = ("--be", "gateway", "--folder", folder, "--token", token, "--leg", options.leg)
        async with side(*be) as gateway:
            said = await gateway.line("url")
            url = said["url"]
            mine = ("--isolation", options.isolation, "--at-once", str(options.at_once))
            async with (
                side("--be", "agent", "--url", url, "--token", token, *mine) as agent,
                callers_of(options.leg, GatewayAddress(url, said["sip_port"])) as calls,
            ):
                await agent.line("agent")
                sides = {"gateway": gateway, "agent": agent}
                warm_up = min(WARM_UP, options.calls // 2)
                await many(calls, 4 * options.at_once, options.at_once, [])  # until the agent has registered
                refused: list[str] = []
                first = {name: await one.settled(None) for name, one in sides.items()}
                await many(calls, warm_up, options.at_once, refused, options.stay_s)
                await asyncio.sleep(PUT_AWAY_S[options.leg])
                most = {name: one.memory_mb() for name, one in sides.items()}
                warm = {name: await one.settled(first[name]) for name, one in sides.items()}
                done = warm_up
                while done < options.calls:
                    some = min(options.progress, options.calls - done)
                    await many(calls, some, options.at_once, refused, options.stay_s)
                    done += some
                    await asyncio.sleep(PUT_AWAY_S[options.leg])
                    now = {name: one.memory_mb() for name, one in sides.items()}
                    most = {name: max(most[name], mb) for name, mb in now.items()}
                    memory = ", ".join(f"{name} {mb:.1f} MB" for name, mb in now.items())
                    print(
                        f"{done} calls, {time.monotonic() - began:.0f} s: {memory}",
                        file=sys.stderr,
                        flush=True,
                    )
                last = {name: await one.settled(first[name]) for name, one in sides.items()}
    found["refused_once_or_more"] = len(refused)
    for name in sides:
        found[name] = {
            "first": first[name],
            "after_warm_up": warm[name],
            "last": last[name],
            "left": leftovers(first[name] | _descriptors(warm[name]), last[name]),
            "growth_mb": round(last[name]["memory_mb"] - warm[name]["memory_mb"], 2),
            "garbage_mb": round(most[name] - first[name]["memory_mb"], 2),
        }
    return found


def main() -> int:
    """Run the benchmark, or one of its sides."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=count, default=2000)
    parser.add_argument("--at-once", type=count, default=4)
    parser.add_argument(
        "--stay-s", type=float, default=0.0, help="how long a caller stays who has heard the bot"
    )
    parser.add_argument("--leg", choices=LEGS, default="stream", help="how the callers come")
    parser.add_argument("--isolation", choices=["task", "process"], default="task")
    parser.add_argument("--progress", type=count, default=200, help="say how far it is after so many calls")
    parser.add_argument("--growth-mb", type=float, default=5.0, help="how much memory may grow on each side")
    parser.add_argument(
        "--garbage-mb", type=float, default=15.0, help="and at the gateway while garbage waits"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    parser.add_argument("--be", choices=["gateway", "agent"], help=argparse.SUPPRESS)
    for name in ("--folder", "--token", "--url"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be == "gateway":
        asyncio.run(be_gateway(options.folder, options.token, options.leg))
        return 0
    if options.be == "agent":
        asyncio.run(be_agent(options.url, options.token, options.isolation, options.at_once))
        return 0
    found = asyncio.run(measure(options))
    failed = False
    for name in ("gateway", "agent"):
        one = found[name]
        before_mb, after_mb = one["after_warm_up"]["memory_mb"], one["last"]["memory_mb"]
        failed |= bool(one["left"]) or one["growth_mb"] > options.growth_mb
        failed |= name == "gateway" and one["garbage_mb"] > options.garbage_mb
        print(
            f"{name}: left {', '.join(one['left']) or 'nothing'}; written memory "
            f"{before_mb:.1f} MB after the warm-up, {after_mb:.1f} MB at the end,"
            f" and on the way at most {one['garbage_mb']:.1f} MB more than at first"
        )
    if options.json:
        print(json.dumps(found))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
