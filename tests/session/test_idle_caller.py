"""When a caller who says nothing is asked: with no clock."""

from __future__ import annotations

from piopiy_pipeline.session.idle_caller import IdleCaller, IdleStep

LINES = ("Still there?", "Hello?", "Goodbye.")


def test_two_questions_and_a_goodbye_share_the_timeout() -> None:
    idle = IdleCaller(60, LINES)
    assert idle.check(19.9, caller_spoke_at=0, busy=False) is None
    assert idle.check(20, caller_spoke_at=0, busy=False) == IdleStep("Still there?", last=False)
    assert idle.check(20, caller_spoke_at=0, busy=False) == IdleStep("Hello?", last=False)
    assert idle.check(20, caller_spoke_at=0, busy=False) == IdleStep("Goodbye.", last=True)
    assert idle.check(99, caller_spoke_at=0, busy=False) is None


def test_a_caller_who_answers_is_asked_anew() -> None:
    idle = IdleCaller(60, LINES)
    idle.check(20, caller_spoke_at=0, busy=False)
    assert idle.check(3, caller_spoke_at=25, busy=False) is None
    assert idle.check(20, caller_spoke_at=25, busy=False) == IdleStep("Still there?", last=False)


def test_nobody_is_asked_who_would_have_no_time_to_answer_or_waits_for_the_bot() -> None:
    assert IdleCaller(3, LINES).check(1.5, caller_spoke_at=0, busy=False) is None
    assert IdleCaller(3, LINES).check(3, caller_spoke_at=0, busy=False) == IdleStep("", last=True)
    assert IdleCaller(60, LINES).check(59, caller_spoke_at=0, busy=True) is None
    assert IdleCaller(60, LINES).check(60, caller_spoke_at=0, busy=True) == IdleStep("", last=True)
    assert IdleCaller(None, LINES).check(999, caller_spoke_at=0, busy=False) is None
