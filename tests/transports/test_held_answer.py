"""An answer that is kept back, with its tasks and timers: in virtual time."""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import Frame, TTSAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection

from piopiy_pipeline.testing import run_virtual
from piopiy_pipeline.transports.frames import EagerWithdrawnFrame
from piopiy_pipeline.transports.held_answer import HeldAnswer


def test_what_is_left_of_an_answer_is_dropped_however_soon_after_another_one_it_was_withdrawn() -> None:
    async def story() -> None:
        passed: list[Frame] = []

        async def arrived(frame: Frame, direction: FrameDirection) -> None:
            passed.append(frame)

        ahead = HeldAnswer(arrived, lambda: 0)
        ahead.hold()
        await ahead.withdraw()
        await ahead.take(EagerWithdrawnFrame())
        await asyncio.sleep(1.9)
        ahead.hold()
        await ahead.withdraw()
        await asyncio.sleep(0.2)  # two seconds after the first one
        await ahead.take(TTSAudioRawFrame(b"\0\0", 16000, 1))
        assert passed == []
        await asyncio.sleep(1.9)  # a stage has swallowed the frame that ends it
        of_the_next = TTSAudioRawFrame(b"\0\0", 16000, 1)
        await ahead.take(of_the_next)
        assert passed == [of_the_next]
        ahead.close()

    run_virtual(story)
