"""One stage, or several, in virtual time: what goes in, what comes out and when, and what is left behind."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    CancelFrame,
    EndFrame,
    EndWorkerFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TextFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from examples.mask_digits import MaskDigits
from piopiy_pipeline.processors.vad import VadStage
from piopiy_pipeline.testing.scripted.scripted_llm import Replies, ScriptedLLM
from piopiy_pipeline.testing.scripted.scripted_tts import ScriptedTTS
from piopiy_pipeline.testing.stage.run_stage import At, Upstream, Wait, run_chain, run_stage
from piopiy_pipeline.testing.stage.stage_run import LeftBehind

AUDIO = Path(__file__).parents[2] / "audio"


class Plain(FrameProcessor):
    """Passes everything on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)


class Ponders(Plain):
    """Takes ten seconds over each text."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame):
            await FrameProcessor.process_frame(self, frame, direction)
            await asyncio.sleep(10)
            await self.push_frame(frame, direction)
        else:
            await super().process_frame(frame, direction)


class KeepsEnd(FrameProcessor):
    """Forgets to pass the end on."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, EndFrame):
            await self.push_frame(frame, direction)


class KeepsStart(FrameProcessor):
    """Passes nothing on."""


class Leaks(Plain):
    """Starts something that nobody stops."""

    async def setup(self, setup: FrameProcessorSetup) -> None:  # type: ignore[override]  # as pipecat's own
        await super().setup(setup)
        self._leak = asyncio.create_task(asyncio.Event().wait(), name="a leak")


class Raises(Plain):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, TextFrame):
            return
        raise LookupError("no such word")


class HangsUp(Plain):
    """Ends the pipeline when it hears a goodbye."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if isinstance(frame, TextFrame):
            await self.push_frame(EndWorkerFrame(), FrameDirection.UPSTREAM)


def test_what_comes_out_of_a_stage_is_a_list_of_frames() -> None:
    run = run_stage(MaskDigits(), [TranscriptionFrame("my card is 1 2 3 4 5 6", "", "")])
    [frame] = run
    assert isinstance(frame, TranscriptionFrame)
    assert frame.text == "my card is [number]"


def test_ten_seconds_of_pondering_take_no_time() -> None:
    began = time.perf_counter()
    run = run_stage(Ponders(), [TextFrame("a")], end_s=20)
    assert run.at(TextFrame) == pytest.approx(10.0)
    assert time.perf_counter() - began < 5


def test_frames_come_out_at_the_other_end_too() -> None:
    run = run_stage(Plain(), [Upstream(BotStoppedSpeakingFrame())])
    assert run == []
    assert [type(frame) for frame in run.upstream] == [BotStoppedSpeakingFrame]


def test_a_recording_goes_in_as_audio_at_its_own_pace() -> None:
    run = run_stage(Plain(), [np.ones(16000, np.int16)])
    audio = run.of(InputAudioRawFrame)
    assert len(audio) == 50
    assert run.at(audio[49]) == pytest.approx(0.98)


def test_speech_in_a_wav_file_is_found_by_the_vad_stage() -> None:
    run = run_stage(VadStage, [AUDIO / "booking" / "01-people.wav", Wait(1.0)])
    run.assert_order(VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame)
    run.assert_order(VADUserStartedSpeakingFrame, VADUserStoppedSpeakingFrame, upstream=True)
    assert 0.1 < run.at(VADUserStartedSpeakingFrame) < 0.6


def test_an_interruption_at_a_given_moment_drops_what_is_under_way() -> None:
    first, second = TextFrame("first"), TextFrame("second")
    run = run_stage(
        Ponders(), [first, second, At(3.0, InterruptionFrame()), At(5.0, TextFrame("third"))], end_s=20
    )
    run.assert_dropped(first, second)
    assert run.dropped(TextFrame) == [first, second]
    assert run.at(InterruptionFrame) == pytest.approx(3.0)
    assert run.text == "third"


def test_frames_sent_at_once_are_overtaken_by_system_frames() -> None:
    items = [TextFrame("a"), UserStartedSpeakingFrame()]
    run_stage(Plain(), items, gap_s=0.02).assert_order(TextFrame, UserStartedSpeakingFrame)
    frames = run_stage(Ponders(), [TextFrame("a"), UserStartedSpeakingFrame()], gap_s=0, end_s=20)
    frames.assert_order(UserStartedSpeakingFrame, TextFrame)


def test_a_wait_lets_a_stage_finish_what_it_does_beside() -> None:
    run = run_stage(Plain(), [TextFrame("a"), Wait(4.0)])
    assert run.duration_s == pytest.approx(4.02)


def test_an_end_of_the_tests_own_is_among_what_comes_out() -> None:
    run = run_stage(Plain(), [TextFrame("a"), EndFrame()])
    assert [type(frame) for frame in run] == [TextFrame, EndFrame]


def test_a_stage_can_be_cancelled_in_the_middle() -> None:
    run = run_stage(Ponders(), [TextFrame("a"), Wait(1.0), CancelFrame()])
    run.assert_dropped(TextFrame)
    run.assert_order(CancelFrame)


def test_a_stage_can_end_the_pipeline_by_itself() -> None:
    run = run_stage(HangsUp(), [TextFrame("bye"), Wait(5.0), TextFrame("still there?")])
    assert run.duration_s < 1
    run.assert_order(EndFrame)


def test_several_stages_stand_in_a_row() -> None:
    run = run_chain(
        [ScriptedLLM(Replies("Hello there.")), ScriptedTTS()],
        [LLMContextFrame(LLMContext([{"role": "user", "content": "Hi."}])), Wait(1.0)],
    )
    run.assert_order(LLMFullResponseEndFrame)
    run.assert_no_errors()
    assert [frame.text for frame in run.of(TTSTextFrame)] == ["Hello", "there."]


# ---------------------------------------------------------------------- what is left behind


def test_a_stage_that_swallows_the_end_is_named() -> None:
    with pytest.raises(LeftBehind, match=r"KeepsEnd#\d+ did not pass on the EndFrame") as caught:
        run_chain([Plain(), KeepsEnd(), Plain()], [TextFrame("a")])
    assert caught.value.run.text == "a"


def test_a_stage_that_swallows_the_beginning_is_named() -> None:
    with pytest.raises(LeftBehind, match=r"KeepsStart#\d+ did not pass on the StartFrame"):
        run_chain([Plain(), KeepsStart()], [TextFrame("a")])


def test_a_task_that_nobody_stops_is_named_with_the_place_where_it_waits() -> None:
    with pytest.raises(LeftBehind, match=r"a leak \(waits at asyncio/locks\.py"):
        run_stage(Leaks(), [])


def test_what_is_left_behind_can_be_looked_at_instead() -> None:
    run = run_chain([Leaks(), KeepsEnd()], [TextFrame("a")], check=False)
    assert run.swallowed_by is not None
    assert "KeepsEnd" in run.swallowed_by
    assert len(run.left_tasks) == 1


def test_a_stage_that_takes_longer_for_its_end_may_be_given_the_time() -> None:
    with pytest.raises(LeftBehind, match="Ponders"):
        run_stage(Ponders(), [TextFrame("a")], end_s=5)
    run_stage(Ponders(), [TextFrame("a")], end_s=15)


def test_an_exception_in_a_stage_is_an_error_that_came_out() -> None:
    run = run_stage(Raises(), [TextFrame("a")])
    assert "no such word" in run.errors[0].error
    with pytest.raises(AssertionError, match=r"1 error, the first: .*no such word"):
        run.assert_no_errors()


def test_what_cannot_be_sent_is_named() -> None:
    with pytest.raises(TypeError, match="'hello' cannot be sent"):
        run_stage(Plain(), ["hello"])  # type: ignore[list-item]  # the mistake that is tested
    with pytest.raises(ValueError, match="at least one stage"):
        run_chain([], [])


@pytest.mark.parametrize(
    ("samples", "error", "told"),
    [
        (np.full(1600, 0.5, np.float32), TypeError, "must be int16 of shape .samples., not float32"),
        (np.zeros((1600, 2), np.int16), TypeError, r"not int16 of shape \[1600, 2\]"),
        (np.full(1600, 40_000, np.int32), ValueError, "40000 is beyond 16 bits"),
    ],
    ids=["float", "stereo", "32 bits"],
)
def test_samples_that_would_become_another_sound_are_refused(
    samples: Any, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        run_stage(FrameProcessor(), [samples])


class Sleeps(Plain):
    """Does not let the loop go while it waits."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TextFrame):
            time.sleep(self._seconds)  # noqa: ASYNC251  that is the point
        await super().process_frame(frame, direction)


def test_a_stage_that_sleeps_without_an_await_is_named() -> None:
    run = run_stage(Sleeps(3), [TextFrame("a")])
    [blocked] = run.blocked
    assert blocked.startswith("for 3.0 s at tests/testing/stage/test_run_stage.py:")
    assert blocked.endswith("in Sleeps.process_frame")
    assert f"the event loop was blocked {blocked}" in run.picture()
    with pytest.raises(AssertionError, match=r"the event loop was blocked for 3\.0 s .*belongs in a thread"):
        run.assert_no_errors()


def test_a_short_sleep_of_a_stage_is_nothing_to_tell_of() -> None:
    run = run_stage(Sleeps(0.2), [TextFrame("a")])
    assert not run.blocked
    run.assert_no_errors()
