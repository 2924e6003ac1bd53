"""What callers hear when more come than an agent can serve: with its measured load threshold, and with a number alone.

    python -m benchmarks.admission                 60 callers, four a second, on bots that compute 20 ms a call-second
    python -m benchmarks.admission --own-ms 0 --callers 200      bots that only talk

Callers speak a recording all the time, and none leaves. The services of the bots answer at once; what their own code
computes beside (``--own-ms``) makes the process full with fewer callers than this machine can play. Gateway and callers
are in this process, the agent is in another. When all have come, it is measured for some seconds what those that got
through hear: gaps of 20 ms and more behind a telephone's buffer of 60 ms, and how late the agent's loop is.

Exits with 1 if the threshold refused nobody, or a caller who got through heard nothing at all.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import math
import secrets
import sys
import time
from collections import deque
from typing import Any

from loguru import logger

from benchmarks.benchmark_options import count, length_s, positive
from benchmarks.caller_line import dial
from benchmarks.child_process import START_LIMIT_S, Child, Failed, Found, child
from benchmarks.density_callers import GAP_S, Line
from benchmarks.density_recording import caller_frames
from benchmarks.instant_services import INSTRUCTIONS, InstantLLM, InstantSTT, InstantTTS, Tally, book_table
from benchmarks.loop_lag import LoopLag
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.signaling.caller import Answered, CallStart, Leave, LegEnded, parse_leg_event
from piopiy_pipeline.signaling.messages import dump

RATE = 16000
BURST_S = 0.05
SETTLE_S = 4.0
MARK_S = 0.5
"""How often the agent notes the CPU time that it has used."""


# ---------------------------------------------------------------------- the agent's process


async def compute(own_ms: float) -> None:
    """Be the code of a bot that computes so many ms of each second, a little at a time."""
    while own_ms:
        until = time.thread_time() + own_ms * 1e-3 * BURST_S
        while time.thread_time() < until:
            pass
        await asyncio.sleep(BURST_S)


async def be_agent(options: argparse.Namespace) -> None:
    """Serve until stdin ends, and print how busy the process was in the seconds before, in which it was measured."""
    from piopiy_pipeline.agent.agent import Agent
    from piopiy_pipeline.voice_agent import VoiceAgent

    tally = Tally()

    async def on_new_session(call_id: str) -> None:
        computing = asyncio.create_task(compute(options.own_ms))
        voice_agent = VoiceAgent(instructions=INSTRUCTIONS, tools=[book_table])
        await voice_agent.Action(stt=InstantSTT(tally), llm=InstantLLM(tally), tts=InstantTTS(tally))
        try:
            await voice_agent.start()
        finally:
            computing.cancel()

    agent = Agent(
        "benchmark",
        options.token,
        on_new_session,
        options.url,
        capacity=options.callers,
        load_threshold=options.threshold,
    )
    serving = asyncio.create_task(agent.connect())
    told = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    marks = deque([(time.process_time(), time.monotonic())], maxlen=math.ceil(options.seconds / MARK_S) + 1)
    while not told.done():
        await asyncio.wait({told}, timeout=MARK_S)
        marks.append((time.process_time(), time.monotonic()))
    (cpu, began), (cpu_after, ended) = marks[0], marks[-1]
    core = (cpu_after - cpu) / (ended - began)
    print(json.dumps({"active": agent.active, "core": round(core, 3)}), flush=True)
    await agent.shutdown()
    await serving


# ---------------------------------------------------------------------- gateway and callers


class Someone:
    """A caller who comes, and is answered or sent away."""

    def __init__(self) -> None:
        self.line: Line | None = None
        self.answered = False
        self.ended: EndReason | None = None

    async def call(self, url: str, key: str, frames: list[bytes]) -> None:
        socket = await dial(f"{url}/call/benchmark", key)
        line = self.line = Line(socket, frames, RATE)
        self._socket = socket

        def on_text(text: bytes) -> None:
            event = parse_leg_event(text)
            if isinstance(event, Answered):
                self.answered = True
                line.begin()
            elif isinstance(event, LegEnded):
                self.ended = event.reason

        socket.listen(on_text=on_text, on_binary=line.on_binary, on_close=line.end)
        socket.post_text(dump(CallStart.model_validate({"rate": RATE, "watch": False})))

    def leave(self) -> None:
        if self.line is not None and self.ended is None:
            self.line.end()
            self._socket.post_text(dump(Leave()))


async def measure(threshold: float, options: argparse.Namespace) -> Found:
    """Let all callers come, and return what those that got through heard. Raises `Failed`."""
    token = secrets.token_hex(8)
    config = GatewayConfig(
        port=0,
        agents={"benchmark": token},
        caller_keys=[token],
        records=False,
        webrtc_workers=0,
        max_calls=options.callers + 10,
        offer_ms=2000,
    )
    frames = caller_frames(RATE)
    async with Gateway(config) as gateway:
        with child(
            "admission",
            be="agent",
            url=gateway.url,
            token=token,
            threshold=threshold,
            callers=options.callers,
            seconds=options.seconds,
            **{"own-ms": options.own_ms, "loop": options.loop},
        ) as agent:
            await gateway.wait_for_agent("benchmark", START_LIMIT_S)
            people = [Someone() for _ in range(options.callers)]
            loads = []
            for someone in people:
                await someone.call(gateway.url, token, frames)
                await asyncio.sleep(1 / options.per_second)
                loads += [
                    one.load for one in gateway.switchboard.snapshot().instances if one.load is not None
                ]
            await asyncio.sleep(SETTLE_S)
            own_lag = LoopLag()
            lags_ms = []
            since = time.monotonic()
            while time.monotonic() < since + options.seconds:
                await asyncio.sleep(0.5)
                lags_ms += [
                    one.load.lag_p95_ms
                    for one in gateway.switchboard.snapshot().instances
                    if one.load is not None
                ]
            through = [one for one in people if one.answered and one.ended is None and one.line is not None]
            gaps_s = [gap for one in through if one.line for gap in one.line.playout.gaps_s(since)]
            found: Found = {
                "answered": len(through),
                "refused": sum(one.ended is EndReason.BUSY for one in people),
                "lost": sum(one.ended not in (None, EndReason.BUSY) for one in people),
                "silent": sum(one.line is None or one.line.heard_bytes == 0 for one in through),
                "worst_gap_ms": round(max(gaps_s, default=0.0) * 1e3, 1),
                "gaps": sum(gap >= GAP_S for gap in gaps_s),
                "lag_p95_ms": max(lags_ms, default=0.0),
                "callers_lag_p99_ms": own_lag.quantile_ms(0.99),
                "busiest": max((load.busy for load in loads), default=0.0),
            }
            found |= await asyncio.to_thread(_ask, agent)
            for someone in people:
                someone.leave()
            await asyncio.sleep(0.5)
            return found


def _ask(agent: Child) -> Found:
    agent.let_go()
    return agent.answer("core", START_LIMIT_S)


def table(results: dict[str, Found]) -> str:
    """Return the results as a table for people."""
    lines = [
        f"{'':<22}{'answered':>9}{'refused':>9}{'lost':>6}{'silent':>8}{'worst gap ms':>14}{'gaps':>6}"
        f"{'lag p95 ms':>12}{'core':>7}"
    ]
    for name, found in results.items():
        lines.append(
            f"{name:<22}{found['answered']:>9}{found['refused']:>9}{found['lost']:>6}{found['silent']:>8}"
            f"{found['worst_gap_ms']:>14.1f}{found['gaps']:>6}{found['lag_p95_ms']:>12.1f}{found['core']:>7.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--callers", type=count, default=60)
    arguments.add_argument("--per-second", type=positive, default=4.0, help="how many come in a second")
    arguments.add_argument(
        "--own-ms", type=float, default=20.0, help="what a bot computes in a second, in ms"
    )
    arguments.add_argument("--threshold", type=float, default=0.85, help="load_threshold of the agent")
    arguments.add_argument("--seconds", type=length_s, default=15.0, help="length of the measurement")
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], help="default: uvloop if it is installed")
    arguments.add_argument("--json", action="store_true", help="one JSON object as the last line")
    arguments.add_argument("--be", choices=["agent"], help=argparse.SUPPRESS)
    arguments.add_argument("--url", help=argparse.SUPPRESS)
    arguments.add_argument("--token", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    options.loop = options.loop or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    run: Any = asyncio.run
    if options.loop == "uvloop":
        import uvloop

        run = uvloop.run
    if options.be:
        run(be_agent(options))
        return 0
    results: dict[str, Found] = {}
    try:
        for name, threshold in (
            ("a number alone", 1.0),
            (f"threshold {options.threshold:g}", options.threshold),
        ):
            print(f"{name}, {options.callers} callers ...", file=sys.stderr, flush=True)
            results[name] = run(measure(threshold, options))
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    print(table(results))
    if options.json:
        setting = {"callers": options.callers, "own_ms": options.own_ms, "per_second": options.per_second}
        print(json.dumps({**setting, "results": results}))
    held = results[f"threshold {options.threshold:g}"]
    return 0 if held["refused"] and not held["silent"] else 1


if __name__ == "__main__":
    sys.exit(main())
