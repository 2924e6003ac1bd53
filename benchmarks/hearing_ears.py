"""The ears of `benchmarks/hearing.py`: the bot's VAD stage and speech recogniser in a running pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple

import numpy as np
import psutil
from numpy.typing import NDArray
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.services.stt.moonshine import MoonshineSTTService
from piopiy_pipeline.services.workers.worker_pool import WorkerPool

__all__ = ["CpuTimes", "Ear", "Ears", "Heard", "process_cpu_s"]

PATIENCE_S = 2.0
"""How long a transcript may take after the VAD's stop, before the utterance counts as one without words."""
LIMIT_S = 30.0


class Heard(NamedTuple):
    """What was understood of a sentence, the words of it that the recogniser was not sure of, and how long after the
    VAD's last stop it was known.
    """

    text: str
    unsure: frozenset[str] = frozenset()
    latency_s: float | None = None


class CpuTimes(NamedTuple):
    """Seconds of CPU so far: of this process with all below it, and of those below it alone."""

    total: float
    workers: float


def process_cpu_s() -> CpuTimes:
    """Return the CPU time of this process and of its worker processes."""
    me = psutil.Process()
    workers = 0.0
    for child in me.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        workers += times.user + times.system
    mine = me.cpu_times()
    return CpuTimes(mine.user + mine.system + workers, workers)


class _Tap(FrameProcessor):
    """Notes when the frames that count pass by."""

    def __init__(self) -> None:
        super().__init__()
        self.starts = self.stops = 0
        self.stopped_at = 0.0
        self.finals: list[TranscriptionFrame] = []
        self.final_at = 0.0
        self.moved = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM:
            if isinstance(frame, VADUserStartedSpeakingFrame):
                self.starts += 1
            elif isinstance(frame, VADUserStoppedSpeakingFrame):
                self.stops += 1
                self.stopped_at = time.monotonic()
                self.moved.set()
            elif isinstance(frame, TranscriptionFrame):
                self.finals.append(frame)
                self.final_at = time.monotonic()
                self.moved.set()
        await self.push_frame(frame, direction)


class Ear:
    """One call's VAD stage and recogniser, running."""

    def __init__(self, stt: MoonshineSTTService, rate: int) -> None:
        self.rate = rate
        self._stt = stt
        self.errors: list[str] = []
        self._before, self._behind = _Tap(), _Tap()
        self._worker = PipelineWorker(
            Pipeline([VadStage(), self._before, stt, self._behind]),
            params=PipelineParams(audio_in_sample_rate=rate, audio_out_sample_rate=rate),
            enable_rtvi=False,
            idle_timeout_secs=None,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )

        async def on_error(_worker: PipelineWorker, frame: ErrorFrame) -> None:
            self.errors.append(frame.error)

        self._worker.add_event_handler("on_pipeline_error", on_error)

    async def start(self) -> None:
        """Start the pipeline."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self._worker)
        self._running = asyncio.create_task(runner.run())

    async def stop(self) -> None:
        """End the pipeline, and wait for it."""
        await self._worker.queue_frame(EndFrame())
        await asyncio.wait_for(self._running, LIMIT_S)

    async def hear(self, pcm: NDArray[np.int16]) -> Heard:
        """Play audio as fast as it is spoken, and return what was heard.

        Args:
            pcm: int16 at the ear's rate, with silence at its end.
        """
        before, behind = self._before, self._behind
        begun, stopped = len(behind.finals), before.stops
        step = self.rate // 50
        at = time.monotonic()
        for start in range(0, len(pcm) - step + 1, step):
            frame = InputAudioRawFrame(pcm[start : start + step].tobytes(), self.rate, 1)
            await self._worker.queue_frame(frame)
            at += 0.02
            await asyncio.sleep(max(0.0, at - time.monotonic()))
        await self._settle(begun, stopped)
        finals = behind.finals[begun:]
        latency = behind.final_at - before.stopped_at if finals else None
        text = " ".join(frame.text.strip() for frame in finals)
        unsure = frozenset(self._stt.unsure_words(text))
        return Heard(text, unsure, latency if latency is None or latency >= 0 else 0.0)

    async def _settle(self, begun: int, stopped: int) -> None:
        """Wait until each utterance has its transcript, or `PATIENCE_S` have passed since the last stop."""
        before, behind = self._before, self._behind
        end = time.monotonic() + LIMIT_S
        quiet_until = time.monotonic() + 0.1
        while (now := time.monotonic()) < end:
            speaking = before.starts > before.stops
            missing = before.stops - stopped > len(behind.finals) - begun
            until = before.stopped_at + PATIENCE_S if missing else quiet_until
            if not speaking and now >= until:
                return
            behind.moved.clear()
            try:
                await asyncio.wait_for(behind.moved.wait(), 0.05 if speaking else max(0.01, until - now))
            except TimeoutError:
                continue
            quiet_until = time.monotonic() + 0.1


class Ears:
    """Makes ears whose worker processes they share. It owns those until `close`.

    Args:
        hot_words: The playbook's.
        workers: How many worker processes there are.
    """

    def __init__(self, hot_words: Sequence[str], *, workers: int) -> None:
        self._hot_words = hot_words
        self._pool = WorkerPool("piopiy_pipeline.services.stt.moonshine_worker", name="hearing", size=workers)

    def close(self) -> None:
        """End the worker processes."""
        self._pool.close()

    @asynccontextmanager
    async def ear(self, rate: int) -> AsyncIterator[Ear]:
        """Make the ear of one call at this sample rate."""
        ear = Ear(MoonshineSTTService(hot_words=self._hot_words, pool=self._pool), rate)
        await ear.start()
        try:
            yield ear
        finally:
            await ear.stop()
