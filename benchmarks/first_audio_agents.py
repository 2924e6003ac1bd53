"""The measured process of `first_audio`: an agent that greets, ours or one of stock pipecat.

Says as JSON lines on stdout its process id, and of stock where it listens. It serves until stdin ends. Stock is what
pipecat's own examples are: a WebSocket route that builds transport and pipeline for whoever connects, and greets them.
Of this project it imports nothing but `instant_services`.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger
from pipecat.frames.frames import Frame, TTSAudioRawFrame

from benchmarks.instant_services import INSTRUCTIONS, InstantLLM, InstantSTT, InstantTTS, Tally, book_table

GREETING = "Hello."


class ToneTTS(InstantTTS):
    """Speaks at once and aloud from its first sample on: 0.5 s of a tone, in pieces of 100 ms."""

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        rate = self.sample_rate
        turn = np.cos(2 * np.pi * 440 * np.arange(rate // 10) / rate) * 8000
        for _ in range(5):
            yield TTSAudioRawFrame(turn.astype(np.int16).tobytes(), rate, 1, context_id=context_id)


async def ours(options: argparse.Namespace) -> None:
    """Run `Agent` and `VoiceAgent` as an author uses them, at a gateway in another process."""
    from piopiy_pipeline.agent.agent import Agent
    from piopiy_pipeline.voice_agent import VoiceAgent

    tally = Tally()

    async def on_new_session(call_id: str) -> None:
        voice_agent = VoiceAgent(instructions=INSTRUCTIONS, greeting=GREETING, tools=[book_table])
        await voice_agent.Action(stt=InstantSTT(tally), llm=InstantLLM(tally), tts=ToneTTS(tally))
        await voice_agent.start()

    # An older version, which `beside` measures, takes calls by their number alone.
    everybody: Any = {"load_threshold": 1} if "load_threshold" in signature(Agent).parameters else {}
    agent = Agent("benchmark", options.token, on_new_session, options.url, **everybody)
    serving = asyncio.create_task(agent.connect())
    print(json.dumps({"pid": os.getpid()}), flush=True)
    await _until_told(options.profile)
    await agent.shutdown()
    await serving


async def stock(options: argparse.Namespace) -> None:
    """Run an application with pipecat's own transport, VAD processor and pipeline worker."""
    import uvicorn
    from pipecat.frames.frames import EndFrame, TTSSpeakFrame
    from pipecat.serializers.protobuf import ProtobufFrameSerializer
    from pipecat.transports.websocket.fastapi import FastAPIWebsocketParams, FastAPIWebsocketTransport
    from pipecat.workers.runner import WorkerRunner
    from starlette.applications import Starlette
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    from benchmarks.stock_pipeline import stock_worker

    tally = Tally()

    async def call(websocket: WebSocket) -> None:
        await websocket.accept()
        transport = FastAPIWebsocketTransport(
            websocket,
            FastAPIWebsocketParams(
                audio_in_enabled=True, audio_out_enabled=True, serializer=ProtobufFrameSerializer()
            ),
        )
        worker = stock_worker(transport, options.rate, tally, tts=ToneTTS(tally))

        async def on_connected(*_: Any) -> None:
            await worker.queue_frame(TTSSpeakFrame(GREETING))

        async def on_disconnected(*_: Any) -> None:
            await worker.queue_frame(EndFrame())

        transport.add_event_handler("on_client_connected", on_connected)
        transport.add_event_handler("on_client_disconnected", on_disconnected)
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()

    application = Starlette(routes=[WebSocketRoute("/ws", call)])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", ws="websockets-sansio"))
    serving = asyncio.create_task(server.serve([listening]))
    print(json.dumps({"pid": os.getpid(), "port": listening.getsockname()[1]}), flush=True)
    await _until_told(options.profile)
    server.should_exit = True
    await asyncio.wait({serving}, timeout=10)


async def _until_told(profile: Path | None) -> None:
    """Wait until stdin ends. A profile is of the time from a SIGUSR1 on; a SIGUSR2 has garbage collected."""
    loop = asyncio.get_running_loop()
    profiler = cProfile.Profile()
    loop.add_signal_handler(signal.SIGUSR2, gc.collect)
    if profile:
        loop.add_signal_handler(signal.SIGUSR1, profiler.enable)
    await asyncio.to_thread(sys.stdin.read)
    if profile:
        profiler.disable()
        profiler.dump_stats(profile)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--side", choices=["ours", "stock"], required=True)
    arguments.add_argument("--rate", type=int, required=True)
    arguments.add_argument("--loop", choices=["uvloop", "asyncio"], required=True)
    arguments.add_argument("--url")
    arguments.add_argument("--token")
    arguments.add_argument("--profile", type=Path)
    options = arguments.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    run: Any = asyncio.run
    if options.loop == "uvloop":
        import uvloop

        run = uvloop.run
    run(ours(options) if options.side == "ours" else stock(options))


if __name__ == "__main__":
    main()
