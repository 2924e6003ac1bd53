"""While nobody speaks the STT gets longer frames, and whoever else listens gets them as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.services.settings import STTSettings
from pipecat.services.stt_service import STTService
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.audio.quiet_line import QuietLine
from piopiy_pipeline.audio.wav import read_wav
from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.processors.caller_pause import CallerPausedFrame
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.testing import run_virtual
from tests.support.recorded_caller import RecordedTransport

RATE = 16000
AUDIO = Path(__file__).parent.parent / "audio"


class Ears(STTService):
    """Notes when which frames come, and how much had come when speech ended."""

    def __init__(self) -> None:
        super().__init__(settings=STTSettings(model=None, language=None), ttfs_p99_latency=0.0)
        self.frames: list[tuple[float, bytes]] = []
        self.ends: list[int] = []
        self.told: list[tuple[float, type[Frame]]] = []
        self.pauses: list[int] = []

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        self.frames.append((asyncio.get_running_loop().time(), audio))
        yield None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, (VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame)):
            self.told.append((asyncio.get_running_loop().time(), type(frame)))
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self.ends.append(self.samples)
        elif isinstance(frame, CallerPausedFrame):
            self.pauses.append(self.samples - round(frame.ago_s * RATE))

    @property
    def samples(self) -> int:
        return sum(len(audio) for _, audio in self.frames) // 2


class Listens(FrameProcessor):
    """An author's stage that notes the frames of audio."""

    def __init__(self) -> None:
        super().__init__()
        self.lengths: list[int] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            self.lengths.append(len(frame.audio) // 2)
        await self.push_frame(frame, direction)


class InPieces(RecordedTransport):
    """Its caller's audio comes in whole pieces, as a gateway sends it to an agent that asks for such."""

    def __init__(self, pcm: NDArray[np.int16], samples: int) -> None:
        super().__init__(pcm, hangup_after_s=0.5)
        self._bytes = 2 * samples
        self._rest = b""

    def on_audio(self, pcm: bytes) -> None:
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % self._bytes
        self._rest = pcm[whole:]
        if whole:
            super().on_audio(pcm[:whole])


class CalmPiecesToo(InPieces):
    """Its caller's audio comes in pieces of 160 ms while the line is quiet, as a gateway sends it."""

    def __init__(self, pcm: NDArray[np.int16], samples: int) -> None:
        super().__init__(pcm, samples)
        self._line = QuietLine(RATE)
        self._calm_bytes = RATE * 160 // 1000 * 2
        self._kept = b""

    def on_audio(self, pcm: bytes) -> None:
        self._line.hear(pcm)
        self._kept += pcm
        if not self._line.quiet or len(self._kept) >= self._calm_bytes:
            kept, self._kept = self._kept, b""
            super().on_audio(kept)


def call(
    pcm: NDArray[np.int16],
    *listening: FrameProcessor,
    piece: int = RATE // 50,
    line: type[InPieces] = InPieces,
) -> Ears:
    """Let a caller say this, in pieces of so many samples, to a pipeline with these stages behind the STT."""

    async def scenario() -> Ears:
        transport = line(pcm, piece)
        transport.input().on_start = transport.open
        ears = Ears()
        chain = CallPipeline(
            [
                ("transport_in", transport.input()),
                ("vad", VadStage()),
                ("stt", ears),
                *((f"author_{i}", stage) for i, stage in enumerate(listening)),
                ("transport_out", transport.output()),
            ]
        )
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
        await asyncio.wait_for(runner.run(), 40)
        return ears

    return run_virtual(scenario, limit_s=60)


@pytest.fixture
def said() -> NDArray[np.int16]:
    """Three seconds of nothing, speech, and two seconds of nothing."""
    speech = read_wav(AUDIO / "booking" / "01-people.wav", RATE)
    return np.concatenate([np.zeros(3 * RATE, np.int16), speech, np.zeros(2 * RATE, np.int16)])


def test_frames_are_longer_while_nobody_speaks_and_whole_at_the_end_of_speech(
    said: NDArray[np.int16],
) -> None:
    ears = call(said)
    heard = np.concatenate([np.frombuffer(audio, np.int16) for _, audio in ears.frames])
    assert np.array_equal(heard[: len(said)], said), "nothing is lost, doubled or out of order"
    began = ears.frames[0][0] - len(ears.frames[0][1]) / 2 / RATE
    lengths_ms = [(at - began, len(audio) // 32) for at, audio in ears.frames]
    assert {ms for at, ms in lengths_ms if at < 1} == {40}
    assert {ms for at, ms in lengths_ms if 1.2 < at < 3} == {100}
    assert ears.ends, "the VAD has heard the speech"
    assert {ms for at, ms in lengths_ms if 3.7 < at < ears.ends[0] / RATE - 0.1} <= {40}
    arrived = 0
    for at, audio in ears.frames:
        arrived += len(audio) // 2
        if ears.ends and arrived in ears.ends:
            assert at - began <= arrived / RATE + 0.02, "all that came until then, with the end of speech"


@pytest.mark.parametrize("before", [0, 130, 300], ids="{}_samples_later".format)
@pytest.mark.parametrize("name", ["booking_at_once/01-everything.wav", "hours/01-open.wav"])
def test_an_stt_gets_the_same_samples_with_the_same_pauses_in_whatever_pieces_they_come(
    name: str, before: int
) -> None:
    speech, silence = read_wav(AUDIO / name, RATE), np.zeros(2 * RATE, np.int16)
    said = np.concatenate([np.zeros(3 * RATE + before, np.int16), speech, silence, speech, silence])
    ways = [call(said, piece=samples) for samples in (RATE // 50, 512, 1024)]
    ways.append(call(said, piece=512, line=CalmPiecesToo))
    assert max(len(audio) for _, audio in ways[-1].frames) > RATE * 150 // 1000 * 2
    ends_s = [[at for at, *_ in way.told] for way in ways]
    assert np.allclose(ends_s[1], ends_s[3], atol=1e-6), "speech is told as soon"
    for ears in ways:
        heard = np.frombuffer(b"".join(audio for _, audio in ears.frames), np.int16)
        assert np.array_equal(heard[: len(said) - RATE], said[: len(said) - RATE])
    first, *others = ways
    assert len(first.pauses) >= 2
    assert all(other.pauses == first.pauses for other in others)


def test_a_stage_of_the_authors_hears_frames_as_before(said: NDArray[np.int16]) -> None:
    stage = Listens()
    ears = call(said, stage)
    assert set(stage.lengths[:-4]) <= {RATE // 25, RATE // 50}, "40 ms, and the rest before an end of speech"
    assert sum(stage.lengths) == ears.samples


def test_an_stt_pushes_no_audio_on_that_nobody_wants() -> None:
    class Pushes(Ears):
        pushed = 0

        async def push_frame(
            self, frame: Frame, direction: FrameDirection = FrameDirection.DOWNSTREAM
        ) -> None:
            self.pushed += isinstance(frame, InputAudioRawFrame)
            await super().push_frame(frame, direction)

    async def frozen(*behind: FrameProcessor) -> bool:
        transport = RecordedTransport(np.zeros(RATE, np.int16))
        ears = Pushes()
        stages = [("in", transport.input()), ("stt", ears), *((f"s{i}", s) for i, s in enumerate(behind))]
        CallPipeline([*stages, ("out", transport.output())]).freeze()
        return bool(ears._audio_passthrough)

    assert asyncio.run(frozen()) is False
    assert asyncio.run(frozen(Listens())) is True
