"""A call through real pipecat stages, without a gateway, whose caller is a recording.

In virtual time: an echo on a loop that stood still for a third of a second is no longer the recording.
"""

from __future__ import annotations

import asyncio

import numpy as np
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.testing import run_virtual
from tests.support.recorded_caller import RecordedTransport

RATE = 16000


class Echo(FrameProcessor):
    """Says what it hears."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.push_frame(OutputAudioRawFrame(frame.audio, frame.sample_rate, 1))
        else:
            await self.push_frame(frame, direction)


class Listener(FrameProcessor):
    """Remembers what comes by."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.seen.append(frame)
        await self.push_frame(frame, direction)

    def kinds(self) -> list[type[Frame]]:
        return [type(frame) for frame in self.seen]


def tone(seconds: float) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16)


async def run(transport: RecordedTransport, *stages: FrameProcessor) -> None:
    worker = PipelineWorker(Pipeline([transport.input(), *stages]), enable_rtvi=False)

    def hang_up() -> None:
        asyncio.ensure_future(worker.queue_frame(EndFrame()))  # noqa: RUF006  the runner outlives it

    transport._on_lost = hang_up
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await asyncio.wait_for(runner.run(), 20)


def test_an_echo_hears_the_recording_and_says_all_of_it() -> None:
    async def scenario() -> None:
        recording = tone(0.6)
        transport = RecordedTransport(recording, hangup_after_s=0.6)
        listener = Listener()
        await run(transport, Echo(), transport.output(), listener)
        said = transport.link.said
        first = int(np.flatnonzero(said)[0]) - int(np.flatnonzero(recording)[0])
        assert np.array_equal(said[first : first + recording.size], recording)
        assert first / RATE < 0.3
        assert BotStartedSpeakingFrame in listener.kinds()

    run_virtual(scenario, limit_s=60)


class SaysThenInterrupts(FrameProcessor):
    """Says three seconds at once, and is interrupted when the caller has heard some of it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.frames += 1
            if self.frames == 1:
                await self.push_frame(OutputAudioRawFrame(tone(3.0).tobytes(), RATE, 1))
            elif self.frames == 20:
                await self.push_frame(InterruptionFrame())
            return
        await self.push_frame(frame, direction)


def test_an_interruption_is_silence_at_once() -> None:
    async def scenario() -> None:
        transport = RecordedTransport(np.zeros(RATE * 2, np.int16), hangup_after_s=0.0)
        listener = Listener()
        await run(transport, SaysThenInterrupts(), transport.output(), listener)
        heard = np.flatnonzero(transport.link.said)
        assert 0.5 < (heard[-1] - heard[0]) / RATE < 1.2, "19 frames of 40 ms, and not the three seconds"
        kinds = listener.kinds()
        assert kinds.index(InterruptionFrame) < kinds.index(BotStoppedSpeakingFrame)

    run_virtual(scenario, limit_s=60)
