"""The measured process of `density`: an agent with many calls, ours or stock pipecat's.

Says what it found as JSON lines on stdout: where it listens (stock), what a second of a call costs
while all calls are up and how late the event loop was meanwhile, and at the end what the calls cost from
beginning to end. Of stock it imports nothing of this project but `instant_services`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import resource
import socket
import sys
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any

from loguru import logger

from benchmarks.instant_services import INSTRUCTIONS, InstantLLM, InstantSTT, InstantTTS, Tally, book_table
from benchmarks.loop_lag import LoopLag

SETTLE_S = 2.0
"""From the moment at which all calls are up to the beginning of the measurement."""
ALL_UP_LIMIT_S = 90.0
END_LIMIT_S = 30.0


def say(**values: Any) -> None:
    """Print one JSON line for the process that started this one."""
    print(json.dumps(values), flush=True)


class Meter:
    """Counts calls and the CPU time of this process (all its threads)."""

    def __init__(self, calls: int, seconds: float, tally: Tally) -> None:
        self._calls = calls
        self._seconds = seconds
        self._tally = tally
        self._up = 0
        self._ended = 0
        self._call_seconds = 0.0
        self._changed = asyncio.Event()
        gc.collect()
        self._cpu_at_start = time.process_time()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call from its first to its last moment."""
        began = time.monotonic()
        self._up += 1
        self._changed.set()
        try:
            yield
        finally:
            self._up -= 1
            self._ended += 1
            self._call_seconds += time.monotonic() - began
            self._changed.set()

    async def measure(self, profile: Path | None) -> None:
        """Wait until all calls are up, and print what they cost for a while."""
        async with asyncio.timeout(ALL_UP_LIMIT_S):
            while self._up < self._calls:
                self._changed.clear()
                await self._changed.wait()
        lag = LoopLag()
        await asyncio.sleep(SETTLE_S)
        lag.begin()
        profiler = cProfile.Profile() if profile else None
        if profiler:
            profiler.enable()
        tally, cpu, began = copy(self._tally), time.process_time(), time.monotonic()
        await asyncio.sleep(self._seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        if profiler and profile:
            profiler.disable()
            profiler.dump_stats(profile)
        if self._up < self._calls:
            raise RuntimeError(f"{self._calls - self._up} of {self._calls} calls ended too early")
        say(
            steady_ms=round(cpu / wall / self._calls * 1e3, 2),
            core=round(cpu / wall, 3),
            lag_p99_ms=lag.quantile_ms(0.99),
            lag_p95_ms=lag.quantile_ms(0.95),
            did=self._tally.since(tally),
            threads=threading.active_count(),
            tasks=len(asyncio.all_tasks()),
        )

    async def all_ended(self) -> None:
        """Wait until all calls have ended, and print what they cost altogether."""
        async with asyncio.timeout(END_LIMIT_S):
            while self._ended < self._calls:
                self._changed.clear()
                await self._changed.wait()
        cpu = time.process_time() - self._cpu_at_start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        say(
            total_ms=round(cpu / self._call_seconds * 1e3, 2),
            peak_mb=round(peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)),
        )


async def ours(options: argparse.Namespace) -> None:
    """Run `Agent` and `VoiceAgent` as an author uses them, at a gateway in another process."""
    from piopiy_pipeline.agent.agent import Agent
    from piopiy_pipeline.voice_agent import VoiceAgent

    tally = Tally()

    async def on_new_session(call_id: str) -> None:
        with meter.call():
            voice_agent = VoiceAgent(instructions=INSTRUCTIONS, tools=[book_table])
            await voice_agent.Action(stt=InstantSTT(tally), llm=InstantLLM(tally), tts=InstantTTS(tally))
            await voice_agent.start()

    agent = Agent(
        "benchmark",
        options.token,
        on_new_session,
        options.url,
        capacity=options.calls,
        load_threshold=1,  # so that it is seen where it breaks
    )
    meter = Meter(options.calls, options.seconds, tally)
    serving = asyncio.create_task(agent.connect())
    await _unless_it_fails(meter.measure(options.profile), serving)
    await meter.all_ended()
    await agent.shutdown()
    await serving


async def stock(options: argparse.Namespace) -> None:
    """Run pipecat's own parts: WebSocket server transport, VAD processor and pipeline worker, with one port
    for each call.
    """
    ports = _free_ports(options.calls)
    tally = Tally()
    meter = Meter(options.calls, options.seconds, tally)
    calls = [asyncio.create_task(_stock_call(port, options.rate, tally, meter)) for port in ports]
    say(ports=ports)
    running = asyncio.gather(*calls)
    await _unless_it_fails(meter.measure(options.profile), running)
    await meter.all_ended()
    await asyncio.wait_for(running, END_LIMIT_S)


async def _stock_call(port: int, rate: int, tally: Tally, meter: Meter) -> None:
    from pipecat.frames.frames import EndFrame
    from pipecat.serializers.protobuf import ProtobufFrameSerializer
    from pipecat.transports.websocket.server import (
        SingleClientWebsocketServerParams,
        SingleClientWebsocketServerTransport,
    )
    from pipecat.workers.runner import WorkerRunner

    from benchmarks.stock_pipeline import stock_worker

    transport = SingleClientWebsocketServerTransport(
        SingleClientWebsocketServerParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            audio_out_end_silence_secs=0,
            serializer=ProtobufFrameSerializer(),
        ),
        "127.0.0.1",
        port,
    )
    worker = stock_worker(transport, rate, tally)
    connected, gone = asyncio.Event(), asyncio.Event()

    async def on_connected(*_: Any) -> None:
        connected.set()

    async def on_disconnected(*_: Any) -> None:
        if not gone.is_set():
            gone.set()
            await worker.queue_frame(EndFrame())

    transport.add_event_handler("on_client_connected", on_connected)
    transport.add_event_handler("on_client_disconnected", on_disconnected)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    await _unless_it_fails(connected.wait(), running)
    with meter.call():
        await running


async def _unless_it_fails(work: Coroutine[Any, Any, Any], beside: asyncio.Future[Any]) -> None:
    """Do some work, and raise at once what fails beside it."""
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task, beside}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await beside
            raise RuntimeError("the agent ended before the measurement did")
        await task
    finally:
        task.cancel()


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, because pipecat's transport cannot say which one it got."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--side", choices=["ours", "stock"], required=True)
    arguments.add_argument("--calls", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--rate", type=int, required=True)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], required=True)
    arguments.add_argument("--url")
    arguments.add_argument("--token")
    arguments.add_argument("--profile", type=Path)
    options = arguments.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="INFO" if options.side == "ours" else "WARNING")
    run = asyncio.run
    if options.loop == "uvloop":
        import uvloop

        run = uvloop.run
    run(ours(options) if options.side == "ours" else stock(options))


if __name__ == "__main__":
    main()
