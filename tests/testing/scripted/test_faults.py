"""Faults as data: when one meets a request, and what a client of the provider would raise."""

from __future__ import annotations

import pytest
from pipecat.utils.errors import ErrorCategory, classify_http_exception

from piopiy_pipeline.testing.scripted.faults import (
    Disconnects,
    Fault,
    FaultPlan,
    Refused,
    SlowStart,
    Stalls,
    TimesOut,
)
from piopiy_pipeline.testing.scripted.scripted_llm import Replies
from piopiy_pipeline.testing.scripted.scripted_stt import Transcripts


def met(plan: FaultPlan, *turns: int) -> list[bool]:
    """Which of the requests in these turns meet a fault."""
    met = []
    for turn in turns:
        plan.turn = turn
        met.append(plan.next() is not None)
    return met


def test_a_fault_meets_the_first_request_of_its_turn_and_no_other() -> None:
    assert met(FaultPlan({2: Refused()}), 1, 2, 2, 3) == [False, True, False, False]


def test_a_fault_can_meet_the_retry_too() -> None:
    assert met(FaultPlan({1: Stalls(times=2)}), 1, 1, 1) == [True, True, False]


@pytest.mark.parametrize(
    ("fault", "category"),
    [
        (Refused(429), ErrorCategory.RATE_LIMIT),
        (Refused(401), ErrorCategory.AUTHENTICATION),
        (Refused(503), ErrorCategory.SERVER),
        (TimesOut(), ErrorCategory.CONNECTIVITY),
        (Disconnects(), ErrorCategory.CONNECTIVITY),
    ],
)
def test_pipecat_sees_the_kind_of_failure_that_a_real_provider_would_give(
    fault: Fault, category: ErrorCategory
) -> None:
    assert fault.error is not None
    assert classify_http_exception(fault.error) is category


def test_a_slow_start_and_a_stall_are_no_errors() -> None:
    assert SlowStart().error is None
    assert Stalls().error is None


def test_what_is_no_fault_is_named() -> None:
    with pytest.raises(ValueError, match="share of the answer"):
        Disconnects(after=2)
    with pytest.raises(ValueError, match="200 is no HTTP status that refuses"):
        Refused(200)
    with pytest.raises(ValueError, match="times must be 1 at least"):
        Stalls(times=0)
    with pytest.raises(TypeError, match="fault of turn 1"):
        FaultPlan({1: "429"})  # type: ignore[dict-item]  # the mistake that is tested
    with pytest.raises(TypeError, match="after_s must be a number of seconds, not '5'"):
        TimesOut("5")  # type: ignore[arg-type]  # as above
    with pytest.raises(ValueError, match="by_s must be 0 seconds or more, not -3"):
        SlowStart(by_s=-3)


def test_a_fault_of_a_turn_that_never_comes_is_refused() -> None:
    with pytest.raises(TypeError, match="the number of a turn must be a whole number, not '2'"):
        Transcripts(faults={"2": Refused()})  # type: ignore[dict-item]  # the mistake that is tested
    with pytest.raises(ValueError, match="the number of a turn must be 0 at least, not -1"):
        Replies("Hello.", faults={-1: Refused()})
