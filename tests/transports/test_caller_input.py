"""The VAD scores exactly the audio that reaches its place in the chain, by whichever way it comes."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.transports.base_transport import TransportParams
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.processors.caller_audio import MAX_WAITING_S, CallerAudioFrame
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.testing import run_virtual
from piopiy_pipeline.transports.caller_input import CallerInput
from tests.support.agents import logged
from tests.support.recorded_caller import RecordedTransport

RATE = 16000
SAMPLES = np.arange(1, RATE // 2 + 1, dtype=np.int16)
"""Half a second in which no sample is like another."""


class Vad(VadStage):
    """Remembers what it scores."""

    def __init__(self) -> None:
        super().__init__()
        self.scored = bytearray()
        self.calls = 0

    def feed(self, pcm: bytes) -> None:
        self.scored += pcm
        self.calls += 1
        super().feed(pcm)


class Passes(FrameProcessor):
    """An author's stage that looks at everything and changes nothing."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            await self.on_audio(frame)
        else:
            await self.push_frame(frame, direction)

    async def on_audio(self, frame: InputAudioRawFrame) -> None:
        await self.push_frame(frame)


class Mutes(Passes):
    """An author's stage that lets no audio through."""

    async def on_audio(self, frame: InputAudioRawFrame) -> None: ...


class Halves(Passes):
    """An author's stage that changes the audio in the frame it was given."""

    async def on_audio(self, frame: InputAudioRawFrame) -> None:
        frame.audio = (np.frombuffer(frame.audio, np.int16) // 2).tobytes()
        await self.push_frame(frame)


class Copies(Passes):
    """An author's stage that makes frames of its own."""

    async def on_audio(self, frame: InputAudioRawFrame) -> None:
        await self.push_frame(InputAudioRawFrame(frame.audio, frame.sample_rate, 1))


class Notes(Passes):
    """Stands behind the VAD, where the STT does."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = bytearray()

    async def on_audio(self, frame: InputAudioRawFrame) -> None:
        self.heard += frame.audio


def run(*between: FrameProcessor, vads: int = 1, at_once: int = 0) -> tuple[list[Vad], NDArray[np.int16]]:
    """Let a caller say `SAMPLES`, then nothing; returns the VADs and what came behind them. Before that so many samples
    come at once.
    """

    async def scenario() -> tuple[list[Vad], NDArray[np.int16]]:
        transport = RecordedTransport(SAMPLES, hangup_after_s=0.1)

        def start() -> None:
            for _ in range(0, at_once, RATE // 50):
                transport.input().audio(np.full(RATE // 50, 7, np.int16).tobytes())
            transport.open()

        transport.input().on_start = start
        stages, notes = [Vad() for _ in range(vads)], Notes()
        chain = CallPipeline(
            [
                ("transport_in", transport.input()),
                *((f"vad_{i}", vad) for i, vad in enumerate(stages)),
                ("notes", notes),
                ("transport_out", transport.output()),
            ]
        )
        for i, stage in enumerate(between):
            chain.insert(f"author_{i}", stage, before="vad_0")
        worker = PipelineWorker(
            chain.freeze(),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
        )

        def hang_up() -> None:
            asyncio.ensure_future(worker.queue_frame(EndFrame()))  # noqa: RUF006  the runner outlives it

        transport._on_lost = hang_up
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await asyncio.wait_for(runner.run(), 20)
        return stages, np.frombuffer(bytes(notes.heard), np.int16)

    return run_virtual(scenario, limit_s=60)


def spoken(pcm: bytes | bytearray | NDArray[np.int16]) -> NDArray[np.int16]:
    """Without the silence around it."""
    samples = pcm if isinstance(pcm, np.ndarray) else np.frombuffer(bytes(pcm), np.int16)
    return np.trim_zeros(samples)


def test_directly_behind_the_transport_it_is_given_the_samples_as_they_arrive() -> None:
    (vad,), heard = run()
    assert np.array_equal(spoken(vad.scored), SAMPLES)
    assert np.array_equal(spoken(heard), SAMPLES)
    assert vad.calls == 30, "every 20 ms of 0.6 s, and no frame of 40 ms a second time"


@pytest.mark.parametrize("stage", [Passes, Copies])
def test_behind_an_authors_stage_it_scores_each_sample_once(stage: type[Passes]) -> None:
    (vad,), heard = run(stage())
    assert np.array_equal(spoken(vad.scored), SAMPLES)
    assert np.array_equal(spoken(heard), SAMPLES)


def test_as_much_as_waits_for_the_vad_waits_for_the_stages_behind_it() -> None:
    """What has waited for a call that changed instances, or behind code that blocked, comes at once."""
    most = int((MAX_WAITING_S - 1) * RATE)
    (vad,), heard = run(at_once=most)
    assert spoken(vad.scored).size == spoken(heard).size == most + SAMPLES.size
    (vad,), heard = run(at_once=most + 3 * RATE)
    assert spoken(heard).size == MAX_WAITING_S * RATE + SAMPLES.size, "the oldest is dropped"


def test_what_an_authors_stage_keeps_back_is_not_scored() -> None:
    (vad,), heard = run(Mutes())
    assert vad.scored == b""
    assert heard.size == 0


def test_what_an_authors_stage_has_changed_is_scored_as_changed() -> None:
    (vad,), heard = run(Halves())
    assert np.array_equal(spoken(vad.scored), spoken(SAMPLES // 2))
    assert np.array_equal(spoken(heard), spoken(SAMPLES // 2))


def test_a_second_vad_scores_the_frames_that_the_first_passes_on() -> None:
    (first, second), _ = run(vads=2)
    assert np.array_equal(spoken(first.scored), SAMPLES)
    assert np.array_equal(spoken(second.scored), SAMPLES)


def test_a_frame_names_the_stage_that_has_had_its_samples() -> None:
    vad = Vad()
    assert CallerAudioFrame(b"", RATE, fed_to=vad).fed_to is vad
    assert CallerAudioFrame(b"", RATE).fed_to is None


def test_keys_that_the_pipeline_does_not_take_are_not_dropped_in_silence() -> None:
    async def story() -> None:
        stage = CallerInput(TransportParams(audio_in_enabled=True))
        with logged() as lines:
            stage.keys("1" * 300)
        assert [line for _, line in lines] == [
            "ERROR the pipeline takes no keys or messages, and 256 wait: more are dropped"
        ]

    run_virtual(story)
