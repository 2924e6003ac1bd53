"""What the tests of the stages share: a recorded caller, and a chain around the stage under test."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import CancelFrame, EndFrame, Frame, InputAudioRawFrame, StartFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.processors.vad_engine import shared_engine

RECORDINGS = Path(__file__).parent.parent / "audio" / "booking"

Recording = Callable[[int], NDArray[np.int16]]


@cache
def _conversation(rate: int) -> NDArray[np.int16]:
    noise = np.random.default_rng(0)

    def pause(seconds: float) -> NDArray[np.int16]:
        return noise.normal(0, 3, int(seconds * rate)).astype(np.int16)

    turns = [read_wav(path, rate) for path in sorted(RECORDINGS.glob("*.wav"))[:2]]
    return np.concatenate([pause(2.5), turns[0], pause(1.0), turns[1], pause(3.0)])


@pytest.fixture
def conversation() -> Recording:
    """At this rate, two turns of a caller between pauses of faint noise."""
    return _conversation


class Ear(FrameProcessor):
    """Keeps what passes in one direction, input audio apart, and counts the samples of that."""

    def __init__(self, direction: FrameDirection) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self.samples = 0
        self.order: list[str] = []
        self._listens_to = direction
        self._heard = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is self._listens_to:
            if isinstance(frame, InputAudioRawFrame):
                self.samples += frame.num_frames
            else:
                self.frames.append(frame)
            self.order.append(type(frame).__name__)
            self._heard.set()
        await self.push_frame(frame, direction)

    def of(self, *kinds: type[Frame]) -> list[Frame]:
        return [frame for frame in self.frames if isinstance(frame, kinds)]

    async def until(self, condition: Callable[[], bool], *, limit_s: float = 20) -> None:
        """Wait until this holds; it is looked at again whenever something passes."""
        async with asyncio.timeout(limit_s):
            while not condition():
                self._heard.clear()
                await self._heard.wait()


class Chain:
    """A pipecat pipeline `ear, stages..., ear`, running."""

    def __init__(self, stages: list[FrameProcessor], rate: int) -> None:
        self.rate = rate
        self.upstream = Ear(FrameDirection.UPSTREAM)
        self.downstream = Ear(FrameDirection.DOWNSTREAM)
        self.stages = stages
        self.worker = PipelineWorker(
            Pipeline([self.upstream, *stages, self.downstream]),
            params=PipelineParams(audio_in_sample_rate=rate),
            enable_rtvi=False,
            enable_turn_tracking=False,
            idle_timeout_secs=None,
            cancel_runner_on_idle_timeout=False,
        )

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.stages[0].queue_frame(frame)

    async def speak(self, pcm: NDArray[np.int16], *, frame_ms: int = 20) -> None:
        """Send a recording as input frames, as fast as the chain takes them."""
        size = self.rate * frame_ms // 1000
        before = self.downstream.samples
        for at in range(0, len(pcm) - size + 1, size):
            await self.send(InputAudioRawFrame(pcm[at : at + size].tobytes(), self.rate, 1))
            if at // size % 25 == 24:
                await self.downstream.until(partial(self._have_arrived, before + at))
                await self.rest()

    def _have_arrived(self, samples: int) -> bool:
        return self.downstream.samples >= samples

    async def rest(self) -> None:
        """Until everything sent so far has been scored: audio that comes faster than that is no call."""
        for _ in range(10_000):
            if not shared_engine().waiting:
                return
            await asyncio.sleep(0.002)
        raise TimeoutError("the engine does not come to an end")


Talk = Callable[[Chain], Awaitable[None]]
RunLiveChain = Callable[..., Chain]


@pytest.fixture
def run_live_chain() -> RunLiveChain:
    """`run_live_chain(make_stages, talk, rate)`: builds the stages on a loop, talks to them, ends the chain."""

    def run(make_stages: Callable[[], list[FrameProcessor]], talk: Talk, rate: int = 16000) -> Chain:
        async def call() -> Chain:
            chain = Chain(make_stages(), rate)
            runner = WorkerRunner(handle_sigint=False)
            await runner.add_workers(chain.worker)
            running = asyncio.create_task(runner.run())
            try:
                await chain.downstream.until(lambda: bool(chain.downstream.of(StartFrame)))
                await talk(chain)
                await chain.worker.queue_frame(EndFrame())
                await asyncio.wait_for(asyncio.shield(running), 10)
            finally:
                if not running.done():  # a test that failed must not hang in the pipeline's own clean-up
                    await chain.worker.pipeline.queue_frame(CancelFrame())
                    await asyncio.wait([running], timeout=5)
            return chain

        return asyncio.run(call())

    return run
