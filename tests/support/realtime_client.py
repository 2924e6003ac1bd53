"""A realtime service in a pipeline of pipecat's, without this package's chain: what a server is tried with.

In virtual time the service reaches its server within the loop; in real time, over a socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, TTSAudioRawFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

__all__ = ["RealtimeClient", "realtime_client"]

RATE = 24000
F = TypeVar("F", bound=Frame)


class _PipelineEnd(FrameProcessor):
    """One end of the pipeline: keeps what comes out there."""

    def __init__(self, take: Callable[[Frame], None]) -> None:
        super().__init__()
        self._take = take

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self._take(frame)
        await self.push_frame(frame, direction)


class RealtimeClient:
    """What the service has said, and the means to speak to it. Times are of the loop's clock, in seconds."""

    def __init__(self, service: FrameProcessor) -> None:
        self.frames: list[tuple[float, Frame]] = []
        first, last = _PipelineEnd(self._took), _PipelineEnd(self._took)
        self.worker = PipelineWorker(
            Pipeline([first, service, last]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
        )
        self._first = first
        self._seen: set[int] = set()
        self._news = asyncio.Event()

    def _took(self, frame: Frame) -> None:
        if frame.id not in self._seen:
            self._seen.add(frame.id)
            self.frames.append((asyncio.get_running_loop().time(), frame))
            self._news.set()

    def of(self, kind: type[F]) -> list[F]:
        """Return the frames of a class, in order."""
        return [frame for _, frame in self.frames if isinstance(frame, kind)]

    @property
    def spoken_s(self) -> float:
        """The audio that the service has sent, in seconds."""
        return sum(len(frame.audio) / 2 / frame.sample_rate for frame in self.of(TTSAudioRawFrame))

    async def until(self, is_so: Callable[[], object], limit_s: float = 20.0) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(limit_s):
            while not is_so():
                self._news.clear()
                try:
                    await asyncio.wait_for(self._news.wait(), 0.05)
                except TimeoutError:
                    continue

    async def push(self, frame: Frame) -> None:
        """Send a frame downstream into the service."""
        await self._first.push_frame(frame)

    async def say(self, pcm: NDArray[np.int16]) -> None:
        """Speak at the pace of speech: int16 of shape ``[samples]`` at 24 kHz."""
        for at in range(0, len(pcm), RATE // 50):
            piece = pcm[at : at + RATE // 50].tobytes()
            await self.push(InputAudioRawFrame(audio=piece, sample_rate=RATE, num_channels=1))
            await asyncio.sleep(0.02)


@asynccontextmanager
async def realtime_client(service: FrameProcessor) -> AsyncIterator[RealtimeClient]:
    """Run a service until the end of the block."""
    client = RealtimeClient(service)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(client.worker)
    running = asyncio.create_task(runner.run(), name="the pipeline")
    try:
        yield client
    finally:
        await client.worker.queue_frame(EndFrame())
        await asyncio.wait_for(running, 10)
