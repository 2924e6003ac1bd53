"""Who pushes too many frames is found, and nobody else is. The time is a parameter."""

from __future__ import annotations

from piopiy_pipeline.session.limits.stage_flow import LONGEST_WAIT_S, SHARE, LoopShare, StageFlow
from piopiy_pipeline.session.limits.stream_limits import StreamLimits

LIMITS = StreamLimits(frames_a_second=100, burst_frames=200, flood_s=10)


def push(flow: StageFlow, count: int, now: float) -> float:
    for _ in range(count):
        flow.level -= 1
    return flow.wait_s(now) if flow.level < 0 else 0.0


def test_a_burst_passes_and_the_rest_waits() -> None:
    flow = StageFlow(LIMITS, 0.0)
    assert push(flow, 200, 0.0) == 0.0
    assert push(flow, 1, 0.0) == 0.01
    assert push(flow, 1000, 0.0) == LONGEST_WAIT_S


def test_a_stage_that_goes_on_for_ten_seconds_floods() -> None:
    flow = StageFlow(LIMITS, 0.0)
    push(flow, 201, 0.0)
    for second in range(1, 10):
        push(flow, 110, float(second))
        assert not flow.floods(float(second))
    push(flow, 110, 10.0)
    assert flow.floods(10.0)


def test_a_stage_that_has_paused_meanwhile_does_not_flood() -> None:
    flow = StageFlow(LIMITS, 0.0)
    push(flow, 201, 0.0)
    push(flow, 201, 5.0)
    push(flow, 201, 10.0)
    assert not flow.floods(10.0)


def test_a_stage_that_makes_a_minute_of_frames_at_once_floods_at_once() -> None:
    flow = StageFlow(LIMITS, 0.0)
    push(flow, 7000, 0.0)
    assert flow.floods(0.0)


def test_what_a_stage_passes_on_counts_for_nothing() -> None:
    flow = StageFlow(LIMITS, 0.0)
    for frame in range(100_000):
        flow.given(frame, 1)
        assert push(flow, 1, 0.0) == 0.0


def test_a_stage_that_floods_still_passes_on_what_it_was_given() -> None:
    flow = StageFlow(LIMITS, 0.0)
    push(flow, 300, 0.0)
    flow.given(7, 1)
    assert flow.passes_on(7)
    assert not flow.passes_on(7)
    assert not flow.passes_on(8)


def test_the_others_have_their_turn_after_a_share_however_long_it_took() -> None:
    share = LoopShare()
    for _ in range(3):
        share.left -= SHARE - 1
        assert not share.spent()
        share.left -= 5
        assert share.spent()
