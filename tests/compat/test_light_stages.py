"""Stages that call only events with handlers do with frames what they did before."""

from __future__ import annotations

import asyncio

import pytest
from loguru import logger
from pipecat.frames.frames import ErrorFrame, Frame, TextFrame
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from piopiy_pipeline.compat.frame_taps import watch_pushes, watch_taken
from piopiy_pipeline.compat.light_stages import PlainSetup, lighten
from piopiy_pipeline.testing.stage.run_stage import run_stage


def light() -> IdentityFilter:
    stage = IdentityFilter()
    lighten(stage)
    return stage


def texts(pushed: list[Frame]) -> list[str]:
    return [frame.text for frame in pushed if isinstance(frame, TextFrame)]


def test_frames_pass_and_handlers_of_all_kinds_are_called_also_those_that_are_added_later() -> None:
    stage = light()
    seen: list[str] = []

    async def before(_: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, TextFrame):
            seen.append(f"before {frame.text}")

    def after(_: FrameProcessor, frame: Frame) -> None:
        if isinstance(frame, TextFrame):
            seen.append(f"after {frame.text}")

    stage.add_event_handler("on_before_process_frame", before)
    stage.add_event_handler("on_after_push_frame", after)
    watch_pushes(stage, lambda _, frame: seen.append(f"watched {frame.text}"), TextFrame)
    assert texts(run_stage(stage, [TextFrame("a")])) == ["a"]
    assert seen == ["before a", "watched a", "after a"]


def test_a_watcher_and_a_handler_that_fail_harm_no_frame() -> None:
    def fails(*_: object) -> None:
        raise ValueError("no")

    for fail in (
        lambda stage: watch_taken(stage, fails, TextFrame),
        lambda stage: stage.add_event_handler("on_before_push_frame", fails),
    ):
        stage = light()
        fail(stage)
        assert texts(run_stage(stage, [TextFrame("a")])) == ["a"]


def test_a_stage_behind_that_does_not_take_a_frame_is_an_error_of_the_one_that_pushes_it() -> None:
    class Refuses(FrameProcessor):
        async def queue_frame(self, frame: Frame, *args: object, **more: object) -> None:
            raise ValueError("not that")

    async def story() -> None:
        stage, errors = light(), []
        stage.link(Refuses())

        async def note(_: FrameProcessor, error: ErrorFrame) -> None:
            errors.append(error.error)

        stage.add_event_handler("on_error", note)
        await stage.push_frame(TextFrame("a"))
        assert errors == ["Uncaught exception: not that"]
        await stage.push_frame(TextFrame("a"), FrameDirection.UPSTREAM)
        assert len(errors) == 1, "nobody is there"

    asyncio.run(story())


@pytest.mark.parametrize("level", ["TRACE", "DEBUG"])
def test_a_push_is_logged_where_such_lines_are_kept(level: str) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level=level)
    others = [each for each in logger._core.handlers if each != sink]  # type: ignore[attr-defined]
    assert others is not None
    try:
        run_stage(light(), [TextFrame("a")])
    finally:
        logger.remove(sink)
    assert any("Pushing TextFrame" in line for line in lines) is (level == "TRACE")


def test_an_authors_stage_with_events_of_its_own_kind_stays_as_it_is() -> None:
    class Own(IdentityFilter):
        async def _call_event_handler(self, event_name: str, *args: object, **kwargs: object) -> None:
            await super()._call_event_handler(event_name, *args, **kwargs)

    stage = Own()
    lighten(stage)
    assert "_call_event_handler" not in vars(stage)


def test_the_setup_has_the_attributes_of_pipecats() -> None:
    setup = PlainSetup(clock=None, task_manager=None, pipeline_worker=None, audio_in_sample_rate=8000)  # type: ignore[arg-type]
    assert isinstance(setup, FrameProcessorSetup)
    assert (setup.audio_in_sample_rate, setup.observer, setup.tool_resources) == (8000, None, None)
