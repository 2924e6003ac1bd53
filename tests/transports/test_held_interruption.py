"""What comes behind an interruption waits until it is known what the caller has heard."""

from __future__ import annotations

from pipecat.frames.frames import Frame, InterruptionFrame, TextFrame

from piopiy_pipeline.transports.held_interruption import HeldInterruption
from piopiy_pipeline.transports.ledger import Cut


def cut() -> Cut[Frame]:
    return Cut(position=0, due=[], dropped=[], kept=[], resend=[])


def test_without_an_interruption_nothing_waits() -> None:
    held = HeldInterruption()
    assert not held.holds
    assert not held.unanswered
    assert held.next_behind() is None


def test_it_is_unanswered_until_the_clock_has_answered() -> None:
    held = HeldInterruption()
    held.begin(InterruptionFrame(), estimate=800)
    assert held.holds
    assert held.unanswered
    assert held.estimate == 800
    held.answered(cut())
    assert held.holds
    assert not held.unanswered


def test_frames_behind_it_come_out_in_order_once_it_has_ended() -> None:
    held, frames = HeldInterruption(), [TextFrame("a"), TextFrame("b")]
    held.begin(InterruptionFrame(), 0)
    for frame in frames:
        held.wait_behind(frame)
    assert held.next_behind() is None, "it has not gone down the pipeline"
    held.answered(cut())
    held.end()
    assert [held.next_behind(), held.next_behind(), held.next_behind()] == [*frames, None]
    assert not held.holds


def test_frames_behind_a_second_interruption_wait_for_that() -> None:
    held = HeldInterruption()
    held.begin(InterruptionFrame(), 0)
    second, after = InterruptionFrame(), TextFrame("after")
    held.wait_behind(second)
    held.wait_behind(after)
    held.answered(cut())
    held.end()
    assert held.next_behind() is second
    held.begin(second, 0)
    assert held.next_behind() is None
    assert held.holds
