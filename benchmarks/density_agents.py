"""The measured process of `density`: an agent with many calls, ours or stock pipecat's.

Says what it found as JSON lines on stdout: where it listens (stock), what a second of a call costs
while all calls are up and how late the event loop was meanwhile, and at the end what the calls cost from
beginning to end. Of stock it imports nothing of this project but `instant_services`.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

from loguru import logger

from benchmarks.density_meter import END_LIMIT_S, Meter, say, unless_it_fails
from benchmarks.instant_services import INSTRUCTIONS, InstantLLM, InstantSTT, InstantTTS, Tally, book_table


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
    await unless_it_fails(meter.measure(options.profile), serving)
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
    await unless_it_fails(meter.measure(options.profile), running)
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
    await unless_it_fails(connected.wait(), running)
    with meter.call():
        await running


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
