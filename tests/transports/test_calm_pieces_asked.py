"""An agent asks for longer pieces of a quiet line where nobody hears the difference."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.frames.frames import EndFrame, VADParamsUpdateFrame
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.pipeline import CallPipeline
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.processors.vad_segments import VadSettings
from piopiy_pipeline.signaling.media_events import AgentMediaEvent, CalmPieces
from piopiy_pipeline.testing import run_virtual
from tests.support.recorded_caller import RecordedTransport
from tests.transports.test_calm_frames import RATE, Ears, Listens


def asked(
    *listening: FrameProcessor, vad: VadSettings | None = None, can: bool = True, gate: bool = False
) -> list[int]:
    """Return the lengths that an agent has asked for, in ms, of a gateway that can do it or not."""

    async def scenario() -> list[int]:
        transport = RecordedTransport(np.zeros(RATE, np.int16), hangup_after_s=0.2)
        transport.link.can_calm = can
        lengths: list[int] = []
        send = transport.link.send_event

        def note(event: AgentMediaEvent) -> None:
            if isinstance(event, CalmPieces):
                lengths.append(event.ms)
            send(event)

        transport.link.send_event = note  # type: ignore[method-assign]

        def begin() -> None:
            transport.open()
            if gate:
                asyncio.ensure_future(worker.queue_frame(VADParamsUpdateFrame(VADParams(min_volume=0.2))))  # noqa: RUF006

        transport.input().on_start = begin
        stages = [
            ("transport_in", transport.input()),
            ("vad", VadStage(vad)),
            ("stt", Ears()),
            *((f"author_{i}", stage) for i, stage in enumerate(listening)),
            ("transport_out", transport.output()),
        ]
        worker = PipelineWorker(
            CallPipeline(stages).freeze(),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=RATE),
            enable_rtvi=False,
        )

        def hang_up() -> None:
            asyncio.ensure_future(worker.queue_frame(EndFrame()))  # noqa: RUF006  the runner outlives it

        transport._on_lost = hang_up
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await asyncio.wait_for(runner.run(), 20)
        return lengths

    return run_virtual(scenario, limit_s=30)


def test_it_asks_where_only_the_vad_and_the_stt_hear_the_caller() -> None:
    assert asked() == [320]


@pytest.mark.parametrize("why", ["an older gateway", "a stage of the author's", "a gate of the author's"])
def test_it_does_not_ask_where_somebody_may_hear_the_difference(why: str) -> None:
    match why:
        case "an older gateway":
            assert asked(can=False) == []
        case "a stage of the author's":
            assert asked(Listens()) == []
        case _:
            assert asked(vad=VadSettings(min_volume=0.3)) == []


def test_it_takes_it_back_when_a_gate_is_asked_for_in_the_call() -> None:
    assert asked(gate=True) == [320, 0]
