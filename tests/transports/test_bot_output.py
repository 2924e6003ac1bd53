"""What comes down to the output that is not as it should be: halves of samples, what is no message, and too much."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.frames.frames import (
    EndFrame,
    ErrorFrame,
    Frame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    StartFrame,
    TTSAudioRawFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.signaling.messages import DataMessage, Dtmf
from piopiy_pipeline.testing import run_virtual
from tests.support.recorded_caller import RecordedLink, RecordedTransport

RATE = 16000


class Says(FrameProcessor):
    """Says these frames when the pipeline starts, and notices errors and keys."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__()
        self._frames = frames
        self.errors: list[str] = []
        self.keys: list[KeypadEntry] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        match frame:
            case StartFrame():
                for said in self._frames:
                    await self.push_frame(said)
            case ErrorFrame(error=error):
                self.errors.append(error)
            case InputDTMFFrame(button=button) if button is not None:
                self.keys.append(button)


def run(frames: Sequence[Frame], *, keys: str = "") -> tuple[RecordedLink, Says, list[Dtmf | DataMessage]]:
    """Say `frames` into a line that lasts for a second."""

    async def scenario() -> tuple[RecordedLink, Says, list[Dtmf | DataMessage]]:
        transport = RecordedTransport(np.zeros(RATE, np.int16), hangup_after_s=0)
        says = Says(frames)
        worker = PipelineWorker(
            Pipeline([transport.input(), says, transport.output()]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
        )

        def hang_up() -> None:
            asyncio.ensure_future(worker.queue_frame(EndFrame()))  # noqa: RUF006  the runner outlives it

        transport._on_lost = hang_up
        begin = transport.input().on_start

        def start() -> None:
            if begin is not None:
                begin()
            transport.input().keys(keys)

        transport.input().on_start = start
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await asyncio.wait_for(runner.run(), 20)
        return transport.link, says, transport.link.events

    return asyncio.run(scenario())


def speech(pcm: bytes, context: str = "one") -> TTSAudioRawFrame:
    return TTSAudioRawFrame(pcm, RATE, 1, context_id=context)


def said_by(link: RecordedLink) -> np.ndarray:
    heard = link.said
    return heard[np.flatnonzero(heard)[0] : np.flatnonzero(heard)[-1] + 1]


def test_speech_that_is_cut_in_the_middle_of_a_sample_is_heard_as_it_was() -> None:
    samples = np.arange(1, 3001, dtype=np.int16)
    pcm = samples.tobytes()
    link, _, _ = run([speech(pcm[:1001]), speech(pcm[1001:1002]), speech(pcm[1002:3333]), speech(pcm[3333:])])
    assert np.array_equal(said_by(link), samples)


def test_half_a_sample_at_the_end_of_one_voice_does_not_shift_the_next() -> None:
    samples = np.arange(1, 1001, dtype=np.int16)
    pcm = samples.tobytes()
    link, _, _ = run(
        [speech(b"\1"), OutputAudioRawFrame(pcm, RATE, 1), speech(b"\1", "two"), speech(pcm, "3")]
    )
    assert np.array_equal(said_by(link), np.concatenate([samples, samples]))


@pytest.mark.parametrize("kind", [OutputTransportMessageFrame, OutputTransportMessageUrgentFrame])
@pytest.mark.parametrize(
    ("message", "says"),
    [({"x": object()}, "must be JSON"), ({"x": "a" * 70_000}, "70"), ({1: 2}, "must be JSON")],
)
def test_a_message_that_cannot_be_sent_is_an_error_and_the_rest_goes_on(
    kind: type[OutputTransportMessageFrame], message: dict[object, object], says: str
) -> None:
    pcm = bytes([1]) * 3200
    after = OutputTransportMessageFrame(message={"still": "here"})
    _, stage, events = run([speech(pcm), kind(message=message), after])
    assert len(stage.errors) == 1
    assert says in stage.errors[0]
    assert [event.data for event in events if isinstance(event, DataMessage)] == [{"still": "here"}]


def test_keys_are_pressed_however_many_there_are() -> None:
    many = OutputDTMFFrame(buttons=[KeypadEntry.ONE] * 100)
    _, stage, events = run([many])
    assert "".join(event.digits for event in events if isinstance(event, Dtmf)) == "1" * 100
    assert stage.errors == []


def test_the_keys_that_pipecat_does_not_know_do_not_end_the_stream() -> None:
    _, stage, _ = run([], keys="1A#D2")
    assert stage.keys == [KeypadEntry.ONE, KeypadEntry.POUND, KeypadEntry.TWO]


@pytest.mark.parametrize("second", [False, True])
def test_a_minute_of_speech_behind_an_interruption_is_heard_and_can_be_interrupted(second: bool) -> None:
    minute = [speech(b"\1\0" * RATE, "minute") for _ in range(60)]
    told = OutputTransportMessageFrame(message={"heard": "all"})

    async def scenario() -> tuple[RecordedLink, Says]:
        transport = RecordedTransport(np.zeros(70 * RATE, np.int16), hangup_after_s=0)
        says = Says([speech(b"\2\0" * 5 * RATE)])
        worker = PipelineWorker(
            Pipeline([transport.input(), says, transport.output()]),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
        )
        tasks = []

        async def file_on_a_key() -> None:
            await asyncio.sleep(1)
            for frame in (InterruptionFrame(), *minute, told):
                await says.push_frame(frame)
            if second:
                await asyncio.sleep(1)
                await says.push_frame(InterruptionFrame())

        def hang_up() -> None:
            tasks.append(asyncio.ensure_future(worker.queue_frame(EndFrame())))

        transport._on_lost = hang_up
        tasks.append(asyncio.ensure_future(file_on_a_key()))
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await runner.run()
        return transport.link, says

    link, _ = run_virtual(scenario, limit_s=200)
    heard_s = np.count_nonzero(link.said == 1) / RATE
    assert heard_s == pytest.approx(1 if second else 60, abs=0.2)
    assert len(link.events) == (0 if second else 1)
