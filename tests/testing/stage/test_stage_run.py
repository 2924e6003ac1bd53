"""Questions to what came out of a stage, and what a failed one shows."""

from __future__ import annotations

import pytest
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, InterruptionFrame, TextFrame

from piopiy_pipeline.testing.stage.stage_run import LeftBehind, Moment, StageRun


def run_of(*moments: Moment, **options: object) -> StageRun:
    return StageRun(moments, duration_s=1.0, **options)  # type: ignore[arg-type]  # as given


def out(at: float, frame: Frame, *, upstream: bool = False) -> Moment:
    return Moment(at, frame, upstream=upstream)


def sent(at: float, frame: Frame) -> Moment:
    return Moment(at, frame, sent=True)


HELLO, BYE = TextFrame("hello"), TextFrame("bye")


def test_the_run_is_what_came_out_downstream() -> None:
    run = run_of(sent(0, HELLO), out(0.1, HELLO), out(0.2, BYE, upstream=True))
    assert run == [HELLO]
    assert run.upstream == [BYE]
    assert run.at(HELLO) == 0.1
    assert run.text == "hello"


def test_what_was_sent_and_did_not_come_out_was_dropped() -> None:
    run = run_of(sent(0, HELLO), sent(0, BYE), out(0.1, BYE))
    assert run.dropped(TextFrame) == [HELLO]
    run.assert_dropped(HELLO)
    run.assert_passed(BYE)
    with pytest.raises(AssertionError, match="1 TextFrame did not come out"):
        run.assert_passed(TextFrame)
    with pytest.raises(AssertionError, match=r"came out at 0\.100 s"):
        run.assert_dropped(TextFrame)


def test_a_kind_that_was_never_sent_has_not_passed() -> None:
    with pytest.raises(AssertionError, match="no TextFrame was sent"):
        run_of().assert_passed(TextFrame)


def test_what_was_never_sent_was_not_dropped_and_nothing_at_all_is_a_mistake() -> None:
    run = run_of(out(0.1, HELLO))
    with pytest.raises(AssertionError, match="no EndFrame was sent"):
        run.assert_dropped(EndFrame)
    for assertion in (run.assert_order, run.assert_passed, run.assert_dropped):
        with pytest.raises(TypeError, match=rf"{assertion.__name__}\(\) needs a frame"):
            assertion()


def test_order_allows_for_others_in_between_and_says_what_is_missing_behind_what() -> None:
    run = run_of(out(0, HELLO), out(0.1, InterruptionFrame()), out(0.2, BYE))
    run.assert_order(HELLO, BYE)
    run.assert_order(TextFrame, InterruptionFrame, TextFrame)
    with pytest.raises(AssertionError, match="no InterruptionFrame came out behind TextFrame"):
        run.assert_order(BYE, InterruptionFrame)


def test_a_failed_assertion_shows_what_went_in_and_came_out() -> None:
    run = run_of(sent(0, HELLO), out(0.25, BYE, upstream=True))
    with pytest.raises(AssertionError) as caught:
        run.at(EndFrame)
    first, second = str(caught.value).splitlines()[2:]
    assert "0.000 s  in  v" in first
    assert "hello" in first
    assert "0.250 s  out ^" in second


def test_the_picture_shows_a_frame_as_it_was_when_it_went_in() -> None:
    frame = TextFrame("before")
    moment = sent(0, frame)
    frame.text = "after"
    assert "before" in run_of(moment, out(0, frame)).picture()


def test_of_a_run_of_audio_the_picture_shows_one_frame() -> None:
    audio = [InputAudioRawFrame(audio=bytes(640), sample_rate=16000, num_channels=1) for _ in range(50)]
    run = run_of(*(out(i / 50, frame) for i, frame in enumerate(audio)))
    assert run.picture().splitlines() == ["    0.000 s  out v  InputAudioRawFrame(0.020 s at 16000 Hz)"]


def test_what_is_left_behind_is_a_failure_of_its_own() -> None:
    with pytest.raises(LeftBehind, match="Mute did not pass on the EndFrame"):
        run_of(swallowed_by="Mute did not pass on the EndFrame").assert_nothing_left()
    with pytest.raises(LeftBehind, match=r"tasks still run .* pump"):
        run_of(left_tasks=["pump"]).assert_nothing_left()
    run_of().assert_nothing_left()
