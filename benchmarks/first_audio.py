"""How soon a caller hears the greeting, and what memory a call takes, beside stock pipecat in the same run.

    python -m benchmarks.first_audio            60 calls, one after the other, and then 20 at once; both sides
    python -m benchmarks.first_audio --calls 200 --side ours --json      the last line is one JSON object

A caller comes in, and an agent greets them with a voice that answers at once. The time is from the moment at which the
caller is there (ours: their `start` has been sent, before the gateway offers the call; stock: the WebSocket is open) to
the first sample at the caller that is not silence. Three calls before those that count make the agent warm.

Ours goes through a gateway, the agent's accept, the gateway's confirmation and a playout that sends a frame every
20 ms, of which half is waited for on average. Stock is what pipecat's own examples are: a route that builds the
pipeline for whoever connects. It has no gateway, and so nothing that would offer the call again.

CPU is that of the agent for a whole short call. Memory is what the agent has of its own (private pages): with one call
that has been up for some seconds, and with many.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.util
import json
import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path

import numpy as np
from loguru import logger

from benchmarks.benchmark_options import new_file
from benchmarks.caller_line import PlainLine, as_protobuf, audio_of_protobuf, dial
from benchmarks.child_process import START_LIMIT_S, Child, Failed, Found, child
from benchmarks.isolation import cpu_s, memory_mb
from benchmarks.stock_environment import make_stock_environment
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.signaling.caller import Answered, CallStart, Leave, parse_leg_event
from piopiy_pipeline.signaling.messages import dump
from piopiy_pipeline.signaling.websocket import DirectClientConnection

SIDES = ("stock", "ours")
WARM_UP = 3
STAY_S = 0.3
"""From the first sample until the caller hangs up."""
PAUSE_S = 0.25
"""From there to the next call."""
HEARD_LIMIT_S = 20.0
HELD_S = 4.0
LOUD = 100


class Listener(PlainLine):
    """A caller who waits for the first sound.

    Args:
        socket: The connection.
        rate: The sample rate in Hz.
        stock: Whether pipecat is at the other end, and its protobuf on the line.
    """

    def __init__(self, socket: DirectClientConnection, rate: int, *, stock: bool) -> None:
        noise = np.random.default_rng(0).normal(0, 3, rate).astype(np.int16).tobytes()
        step = 2 * int(FRAME_S * rate)
        frames = [noise[at : at + step] for at in range(0, len(noise) - step, step)]
        decode = audio_of_protobuf if stock else bytes
        super().__init__(socket, as_protobuf(frames, rate) if stock else frames, decode)
        self.heard_at: float | None = None
        self.heard = asyncio.Event()
        self._read = decode
        self._stock = stock
        self._connection = socket

    def on_binary(self, data: bytes) -> None:
        if self.heard_at is None:
            samples = np.frombuffer(self._read(data), np.int16)
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
            if loud.size:
                self.heard_at = time.perf_counter()
                self.heard.set()
        super().on_binary(data)

    def hang_up(self) -> None:
        self.end()
        if not self._stock:
            self._connection.post_text(dump(Leave()))
        self._connection.finish()


async def call_ours(url: str, key: str, rate: int) -> tuple[Listener, float]:
    """Call the gateway. Returns the caller, and when they were there."""
    socket = await dial(f"{url}/call/benchmark", key)
    line = Listener(socket, rate, stock=False)

    def on_text(text: bytes) -> None:
        if isinstance(parse_leg_event(text), Answered):
            line.begin()

    socket.listen(on_text=on_text, on_binary=line.on_binary, on_close=line.end)
    began = time.perf_counter()
    socket.post_text(dump(CallStart.model_validate({"rate": rate, "watch": False})))
    return line, began


async def call_stock(port: int, rate: int) -> tuple[Listener, float]:
    """Connect to the route. Returns the caller, and when they were there."""
    socket = await dial(f"ws://127.0.0.1:{port}/ws")
    began = time.perf_counter()
    line = Listener(socket, rate, stock=True)
    socket.listen(on_binary=line.on_binary, on_close=line.end)
    line.begin()
    return line, began


Call = Callable[[], Awaitable[tuple[Listener, float]]]


@contextlib.asynccontextmanager
async def side_of(side: str, options: argparse.Namespace) -> AsyncIterator[tuple[Child, Call]]:
    """Start an agent. Yields its process, and a function that calls it."""
    common = {"side": side, "rate": options.rate, "loop": options.loop, "profile": options.profile}
    if side == "stock":
        with child("first_audio_agents", python=options.stock_python, **common) as agent:
            port = (await asyncio.to_thread(agent.answer, "port", START_LIMIT_S))["port"]
            yield agent, partial(call_stock, port, options.rate)
        return
    token = secrets.token_hex(8)
    config = GatewayConfig(
        port=0,
        agents={"benchmark": token},
        caller_keys=[token],
        records=False,
        webrtc_workers=0,
        offer_ms=5000,
    )
    async with Gateway(config) as gateway:
        with child("first_audio_agents", token=token, url=gateway.url, **common) as agent:
            await asyncio.to_thread(agent.answer, "pid", START_LIMIT_S)
            await gateway.wait_for_agent("benchmark", START_LIMIT_S)
            yield agent, partial(call_ours, gateway.url, token, options.rate)


async def first_sound(call: Call) -> tuple[Listener, float]:
    """Call. Returns the caller, and after how many seconds they heard something. Raises `Failed`."""
    line, began = await call()
    try:
        async with asyncio.timeout(HEARD_LIMIT_S):
            await line.heard.wait()
    except TimeoutError:
        raise Failed(f"a caller heard nothing for {HEARD_LIMIT_S:g} s") from None
    assert line.heard_at is not None
    return line, line.heard_at - began


async def measure(side: str, options: argparse.Namespace) -> Found:
    """Measure one side, from the start of its process to its end. Raises `Failed`."""
    async with side_of(side, options) as (agent, call):
        for _ in range(WARM_UP):
            await one_call(call)
        if options.profile:
            os.kill(agent.pid, signal.SIGUSR1)
        used_s = cpu_s(agent.pid) or 0.0
        times_s = [await one_call(call) for _ in range(options.calls)]
        cpu_ms = ((cpu_s(agent.pid) or 0.0) - used_s) / options.calls * 1e3
        found = {
            "p50_ms": round(statistics.median(times_s) * 1e3, 1),
            "p95_ms": round(sorted(times_s)[int(0.95 * (len(times_s) - 1))] * 1e3, 1),
            "best_ms": round(min(times_s) * 1e3, 1),
            "cpu_ms": round(cpu_ms, 1),
        }
        if not options.profile:
            found |= await memory(agent.pid, call, options.at_once)
    return found


async def one_call(call: Call) -> float:
    """Call, hear the greeting, hang up, and wait a moment. Returns the seconds until the first sound."""
    line, heard_s = await first_sound(call)
    await asyncio.sleep(STAY_S)
    line.hang_up()
    await asyncio.sleep(PAUSE_S)
    return heard_s


async def memory(pid: int, call: Call, at_once: int) -> Found:
    """Return what an agent has of its own with one call, and what each further one of many takes, in MB."""
    lines = [(await first_sound(call))[0]]
    alone_mb = await settled_mb(pid)
    lines += [(await first_sound(call))[0] for _ in range(at_once - 1)]
    many_mb = await settled_mb(pid)
    for line in lines:
        line.hang_up()
    await asyncio.sleep(1.0)
    further_mb = (many_mb - alone_mb) / (at_once - 1)
    return {"first_call_mb": round(alone_mb, 1), "further_call_mb": round(further_mb, 2)}


async def settled_mb(pid: int) -> float:
    await asyncio.sleep(HELD_S)
    os.kill(pid, signal.SIGUSR2)
    await asyncio.sleep(0.5)
    held = memory_mb(pid)
    if held is None:
        raise Failed("the agent has ended")
    return held["private"]


def table(results: dict[str, Found]) -> str:
    """Return the results as a table for people."""
    lines = [
        f"{'':<8}{'first sample, ms: median':>26}{'p95':>8}{'best':>8}{'CPU ms a call':>16}{'MB a further call':>20}"
    ]
    for side, found in results.items():
        if "failed" in found:
            lines.append(f"{side:<8}did not hold: {found['failed'].splitlines()[0]}")
            continue
        lines.append(
            f"{side:<8}{found['p50_ms']:>26.1f}{found['p95_ms']:>8.1f}{found['best_ms']:>8.1f}{found['cpu_ms']:>16.1f}"
            f"{found.get('further_call_mb', float('nan')):>20.2f}"
        )
    return "\n".join(lines)


async def measure_all(options: argparse.Namespace) -> dict[str, Found]:
    """Measure the sides, one after the other."""
    results: dict[str, Found] = {}
    for side in ("ours",) if options.profile else (options.side,) if options.side else SIDES:
        print(f"{side}, {options.calls} calls ...", file=sys.stderr, flush=True)
        try:
            results[side] = await measure(side, options)
        except Failed as error:
            print(error, file=sys.stderr, flush=True)
            results[side] = {"failed": str(error)}
    return results


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--calls", type=int, default=60, help="one after the other")
    arguments.add_argument("--at-once", type=int, default=20, help="for the memory")
    arguments.add_argument("--side", choices=SIDES, help="only this one")
    arguments.add_argument("--rate", type=int, choices=[8000, 16000], default=16000)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument(
        "--profile", type=new_file, help="write a cProfile of our agent (implies --side ours)"
    )
    arguments.add_argument(
        "--stock-python", help="an interpreter with pipecat-ai[websocket] 1.14 and uvicorn"
    )
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments.add_argument("--at-most", type=float, metavar="MS", help="fail if our median is more")
    options = arguments.parse_args()
    if options.calls < 1 or options.at_once < 2:
        arguments.error("--calls must be positive, and --at-once 2 at least")
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    options.profile = options.profile.resolve() if options.profile else None
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    with tempfile.TemporaryDirectory(prefix="first-audio-") as folder:
        if options.stock_python is None and options.side != "ours" and not options.profile:
            print("making an environment with stock pipecat ...", file=sys.stderr, flush=True)
            options.stock_python = make_stock_environment(Path(folder), more=["uvicorn"])
        run = asyncio.run
        if options.loop == "uvloop":
            import uvloop

            run = uvloop.run
        results = run(measure_all(options))
    print(table(results))
    if options.json:
        print(
            json.dumps(
                {"calls": options.calls, "loop": options.loop, "rate": options.rate, "results": results}
            )
        )
    ours = results.get("ours", {})
    if options.at_most is not None and ours.get("p50_ms", float("inf")) > options.at_most:
        print(f"the median of ours is more than {options.at_most:g} ms", file=sys.stderr)
        return 1
    return 1 if any("failed" in found for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
