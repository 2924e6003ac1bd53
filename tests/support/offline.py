"""Recorded and fresh speech for the offline services, and a running chain that hears it."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker, ProcessorUnusablePolicy
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.audio.resample import Resampler
from scripts.make_recordings import finish, speak

AUDIO = Path(__file__).parents[1] / "audio"
Pcm = NDArray[np.int16]


def scenes() -> dict[str, list[dict[str, str]]]:
    """Return what is said in every recording: file, voice and text of each turn, by scene."""
    result: dict[str, list[dict[str, str]]] = json.loads((AUDIO / "scenes.json").read_text())
    return result


def say(text: str, voice: str) -> Pcm:
    """Let flite speak `text` at 16 kHz. Fails, and does not skip, if flite is missing."""
    return finish(speak(text, voice))


def load(file: str) -> Pcm:
    """Return a recording of `tests/audio` at 16 kHz."""
    with wave.open(str(AUDIO / file)) as recording:
        return np.frombuffer(recording.readframes(recording.getnframes()), np.int16)


def telephone(pcm: Pcm) -> Pcm:
    """Return what a telephone leaves of 16 kHz speech: 8 kHz, µ-law and back."""
    whole = pcm[: len(pcm) // 320 * 320]
    narrow = np.frombuffer(Resampler(16_000, 8_000).process(whole.tobytes()), np.int16)
    return ulaw_decode(ulaw_encode(narrow))


def audio_s(frames: Sequence[Frame]) -> float:
    """Return how many seconds of a voice's audio there are in some frames."""
    return sum(
        len(frame.audio) / 2 / frame.sample_rate for frame in frames if isinstance(frame, TTSAudioRawFrame)
    )


def words_of(frames: Sequence[Frame]) -> list[TTSTextFrame]:
    """Return the words that a voice has reported."""
    return [frame for frame in frames if isinstance(frame, TTSTextFrame)]


def stopped(times: int) -> Callable[[Sequence[Frame]], bool]:
    """Return a condition for `Sink.until`: a voice has ended so many speeches."""
    return lambda frames: sum(isinstance(frame, TTSStoppedFrame) for frame in frames) >= times


class Sink(FrameProcessor):
    """Keeps what comes out of the chain, and wakes whoever waits for more of it."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []
        self._more = asyncio.Event()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if direction is FrameDirection.DOWNSTREAM and not isinstance(frame, InputAudioRawFrame):
            self.frames.append(frame)
            self._more.set()
        await self.push_frame(frame, direction)

    async def until(self, enough: Callable[[list[Frame]], bool], *, limit_s: float = 60.0) -> None:
        async with asyncio.timeout(limit_s):
            while not enough(self.frames):
                self._more.clear()
                await self._more.wait()


class Chain:
    """A running pipeline around some stages. `errors` are the error frames that reached its head."""

    def __init__(self, *stages: FrameProcessor, rate_in: int = 16_000, rate_out: int = 24_000) -> None:
        self.sink = Sink()
        self.errors: list[str] = []
        self.worker = PipelineWorker(
            Pipeline([*stages, self.sink]),
            params=PipelineParams(audio_in_sample_rate=rate_in, audio_out_sample_rate=rate_out),
            enable_rtvi=False,
            idle_timeout_secs=None,
            processor_unusable_policy=ProcessorUnusablePolicy.CONTINUE,
        )
        self.error = asyncio.Event()
        self.rate_in = rate_in

        async def on_error(_worker: PipelineWorker, frame: ErrorFrame) -> None:
            self.errors.append(frame.error)
            self.error.set()

        self.worker.add_event_handler("on_pipeline_error", on_error)

    async def __aenter__(self) -> Chain:
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        self._running = asyncio.create_task(runner.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.worker.queue_frame(EndFrame())
        await asyncio.wait_for(self._running, 20)

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)

    async def speak(self, pcm: Pcm, *, vad_starts_s: float = 0.4, stops: bool = True) -> None:
        """Speak a turn of the caller in frames of 20 ms, with the VAD's frames where a VAD would put them.

        Without `stops` the caller is still speaking afterwards.
        """
        step = self.rate_in // 50
        quiet = np.zeros(self.rate_in // 5, np.int16)
        audio = np.concatenate([quiet, pcm, quiet])
        for number, at in enumerate(range(0, len(audio) - step + 1, step)):
            if number == int(vad_starts_s * 50) + 10:
                await self.send(VADUserStartedSpeakingFrame(start_secs=0.1))
            await self.send(InputAudioRawFrame(audio[at : at + step].tobytes(), self.rate_in, 1))
        if stops:
            await self.send(VADUserStoppedSpeakingFrame(stop_secs=0.2))

    def transcripts(self) -> list[TranscriptionFrame]:
        return [frame for frame in self.sink.frames if isinstance(frame, TranscriptionFrame)]

    def interims(self) -> list[InterimTranscriptionFrame]:
        return [frame for frame in self.sink.frames if isinstance(frame, InterimTranscriptionFrame)]

    async def hear(self, *turns: Pcm) -> list[str]:
        """Speak `turns` one after the other, each when the one before has been understood, and return the
        transcripts.
        """
        before = len(self.transcripts())
        for number, pcm in enumerate(turns, before + 1):
            await self.speak(pcm)
            await self.sink.until(_at_least(number))
        return [frame.text for frame in self.transcripts()[before:]]


def _at_least(count: int) -> Callable[[Sequence[Frame]], bool]:
    return lambda frames: sum(isinstance(frame, TranscriptionFrame) for frame in frames) >= count
