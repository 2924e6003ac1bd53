"""What watches a stage's frames, beside a real stage of pipecat's."""

from __future__ import annotations

from collections.abc import Awaitable

from pipecat.frames.frames import EndFrame, Frame, TextFrame, TranscriptionFrame, TTSStartedFrame
from pipecat.processors.filters.identity_filter import IdentityFilter
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from piopiy_pipeline.compat.frame_taps import filter_pushes, watch_processed, watch_pushes, watch_taken
from piopiy_pipeline.testing.stage.run_stage import run_stage


def test_watchers_see_the_types_that_they_asked_for_and_their_subclasses_in_order() -> None:
    stage = IdentityFilter()
    seen: list[str] = []
    watch_taken(stage, lambda _, frame: seen.append(f"taken {type(frame).__name__}"), TextFrame)
    watch_pushes(stage, lambda _, frame: seen.append(f"pushed {type(frame).__name__}"), TranscriptionFrame)
    watch_processed(stage, lambda _, frame: seen.append(f"processed {type(frame).__name__}"), TextFrame)

    run_stage(stage, [TextFrame("a"), TranscriptionFrame("b", "", ""), TTSStartedFrame()])

    assert seen == [
        "taken TextFrame",
        "processed TextFrame",
        "taken TranscriptionFrame",
        "pushed TranscriptionFrame",
        "processed TranscriptionFrame",
    ]


def test_what_a_watcher_returns_is_awaited_before_the_frame_goes_on() -> None:
    stage = IdentityFilter()

    def announce(each: FrameProcessor, frame: TextFrame) -> Awaitable[None] | None:
        return (
            each.push_frame(TextFrame("first"), FrameDirection.DOWNSTREAM) if frame.text == "second" else None
        )

    watch_pushes(stage, announce, TextFrame)

    pushed = run_stage(stage, [TextFrame("second")])

    assert [frame.text for frame in pushed if isinstance(frame, TextFrame)] == ["first", "second"]


def test_a_watcher_that_fails_harms_neither_the_frame_nor_the_others() -> None:
    stage = IdentityFilter()
    seen: list[Frame] = []

    def fails(*_: object) -> None:
        raise ValueError("no")

    watch_taken(stage, fails, TextFrame)
    watch_taken(stage, lambda _, frame: seen.append(frame), TextFrame)

    pushed = run_stage(stage, [TextFrame("a")])

    assert [frame.text for frame in pushed if isinstance(frame, TextFrame)] == ["a"]
    assert len(seen) == 1


def test_filters_that_stand_next_to_each_other_are_all_asked_the_last_one_first() -> None:
    stage = IdentityFilter()
    asked: list[str] = []

    def accept(name: str, refused: str) -> None:
        def accepts(frame: Frame) -> bool:
            if isinstance(frame, TextFrame):
                asked.append(f"{name} {frame.text}")
            return not (isinstance(frame, TextFrame) and frame.text == refused)

        filter_pushes(stage, accepts)

    accept("inner", "b")
    accept("outer", "a")

    pushed = run_stage(stage, [TextFrame("a"), TextFrame("b"), TextFrame("c"), EndFrame()])

    assert [frame.text for frame in pushed if isinstance(frame, TextFrame)] == ["c"]
    assert asked == ["outer a", "outer b", "inner b", "outer c", "inner c"]
