"""Messages to a client's application: what cannot be sent is the author's to know, and costs the call nothing."""

from __future__ import annotations

import asyncio

import numpy as np
from pipecat.frames.frames import EndFrame, ErrorFrame, Frame, OutputTransportMessageUrgentFrame
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.errors import ErrorCategory
from pipecat.workers.runner import WorkerRunner

from piopiy_pipeline.signaling.messages import DataMessage
from piopiy_pipeline.transports.outgoing_events import MESSAGES_PER_S
from tests.support.recorded_caller import RecordedLink, RecordedTransport


class Complaints(FrameProcessor):
    """Remembers the errors that come up."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[ErrorFrame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, ErrorFrame):
            self.heard.append(frame)
        await self.push_frame(frame, direction)


def test_a_flood_of_messages_is_cut_to_what_the_gateway_takes_and_told_to_the_author() -> None:
    async def scenario() -> tuple[list[ErrorFrame], RecordedLink]:
        transport = RecordedTransport(np.zeros(1600, np.int16))
        complaints = Complaints()
        worker = PipelineWorker(
            Pipeline([transport.input(), complaints, transport.output()]), enable_rtvi=False
        )
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(worker)
        await worker.queue_frames([OutputTransportMessageUrgentFrame({"n": n}) for n in range(300)])
        await worker.queue_frame(EndFrame())
        await asyncio.wait_for(runner.run(), 20)
        return complaints.heard, transport.link

    heard, link = asyncio.run(scenario())
    messages = [event for event in link.events if isinstance(event, DataMessage)]
    assert 2 * MESSAGES_PER_S <= len(messages) < 200
    assert len(messages) + len(heard) == 300
    assert {error.category for error in heard} == {ErrorCategory.APPLICATION}
    assert "messages a second" in heard[0].error
