"""What an agent answers to offers, and what the gateway is told of its load."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from piopiy_pipeline.agent import load_meter
from piopiy_pipeline.agent.call_admission import AdmissionPlan, CallAdmission
from piopiy_pipeline.agent.isolation import AUTO_CAPACITY
from piopiy_pipeline.agent.overload_control import LOAD_THRESHOLD, OverloadControl
from piopiy_pipeline.signaling.messages import Offer, Reject


def offer(**more: Any) -> Offer:
    return Offer(
        call_id="call-1",
        offer_id="offer-1",
        agent_id="desk",
        from_number=None,
        to_number=None,
        metadata=None,
        kind="stream",
        caller_rate=16000,
        deadline_ms=400,
        setup_s=10,
        media_path="/media/call-1",
        media_token="token",
        **more,
    )


def admission(capacity: int | None = None, calls: int = 0) -> CallAdmission:
    return CallAdmission(AdmissionPlan(capacity), calls=lambda: calls, report=lambda: None)


def test_the_number_is_an_upper_bound() -> None:
    assert admission(5, calls=4).refusal(offer()) is None
    assert admission(5, calls=5).refusal(offer()) == Reject(
        call_id="call-1", offer_id="offer-1", reason="full"
    )


def test_who_drains_takes_nothing() -> None:
    leaving = admission(5)
    leaving.closed = True
    refusal = leaving.refusal(offer())
    assert refusal is not None
    assert refusal.reason == "draining"
    assert leaving.status(with_load=True).state == "draining"


def filled() -> CallAdmission:
    """One that was offered more calls at once than it can know what they cost."""
    calls = 0
    place = CallAdmission(AdmissionPlan(), calls=lambda: calls, report=lambda: None)
    while place.refusal(offer()) is None:
        calls += 1
        assert calls < 200
    return place


def test_more_calls_than_it_can_know_are_refused_with_the_reason() -> None:
    place = filled()
    refusal = place.refusal(offer())
    assert refusal is not None
    assert (refusal.reason, refusal.detail[:10]) == ("full", "it is busy")
    assert place.refusal(offer(checkpoint={})) is None


def test_a_gateway_is_told_of_the_load_and_an_older_one_of_no_place() -> None:
    place = filled()
    status = place.status(with_load=True)
    assert status.capacity == AUTO_CAPACITY
    assert status.load is not None
    assert status.load.takes == "takeovers"
    older = place.status(with_load=False)
    assert (older.capacity, older.active, older.load) == (status.active, status.active, None)


def test_the_load_of_the_running_loop_is_measured() -> None:
    async def story() -> None:
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work() -> None:  # a loop that always has something to do
            if not done.is_set():
                loop.call_soon(work)

        place = CallAdmission(AdmissionPlan(), calls=lambda: 1, report=done.set)
        place.begin()
        work()
        try:
            async with asyncio.timeout(30):
                await done.wait()
            load = place.status(with_load=True).load
            assert load is not None
            assert load.busy > 0.05
        finally:
            place.close()

    asyncio.run(story())


@pytest.mark.parametrize(("calls", "expected"), [(3, [100.0, 100.25, 100.5, 100.95]), (2, [100.0, 100.95])])
def test_a_process_with_little_to_do_measures_when_it_is_awake_for_something_else(
    calls: int, expected: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        now, measured_at = [100.0], []
        clocks = SimpleNamespace(monotonic=lambda: now[0], thread_time=lambda: 0.0, process_time=lambda: 0.0)
        monkeypatch.setattr(load_meter, "time", clocks)
        meter = load_meter.LoadMeter(
            OverloadControl(), calls=lambda: calls, on_measured=lambda: measured_at.append(now[0])
        )
        await asyncio.sleep(0)
        for moment in (100.1, 100.19, 100.25, 100.3, 100.5, 100.6, 100.95):
            now[0] = moment
            meter.awake()
        meter.close()
        assert measured_at == expected

    asyncio.run(story())


@pytest.mark.parametrize(
    ("given", "environment", "plan"),
    [
        ((None, None), {}, AdmissionPlan(None, LOAD_THRESHOLD)),
        (("auto", 1), {}, AdmissionPlan(None, None)),
        ((7, 0.5), {"PIOPIY_CAPACITY": "9"}, AdmissionPlan(7, 0.5)),
        ((None, None), {"PIOPIY_CAPACITY": "9", "PIOPIY_LOAD_THRESHOLD": "0.7"}, AdmissionPlan(9, 0.7)),
        ((None, None), {"PIOPIY_CAPACITY": "auto", "PIOPIY_LOAD_THRESHOLD": "1"}, AdmissionPlan(None, None)),
    ],
)
def test_what_an_author_gives_goes_before_the_environment(
    given: tuple[Any, Any], environment: dict[str, str], plan: AdmissionPlan
) -> None:
    assert AdmissionPlan.choose(*given, environment) == plan


@pytest.mark.parametrize(
    ("given", "environment", "sentence"),
    [
        ((0, None), {}, "capacity must be 'auto' or a whole number from 1 to 1000000, not 0"),
        (
            (None, None),
            {"PIOPIY_CAPACITY": "many"},
            "PIOPIY_CAPACITY must be 'auto' or a whole number from 1 to 1000000",
        ),
        ((None, 0), {}, "load_threshold must be a number from 0.1 to 1, not 0"),
        ((None, True), {}, "load_threshold must be a number from 0.1 to 1, not True"),
        (
            (None, None),
            {"PIOPIY_LOAD_THRESHOLD": "x"},
            "PIOPIY_LOAD_THRESHOLD must be a number from 0.1 to 1, not 'x'",
        ),
    ],
)
def test_what_cannot_work_is_refused_by_its_name(
    given: tuple[Any, Any], environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence.replace("(", r"\(")):
        AdmissionPlan.choose(*given, environment)
