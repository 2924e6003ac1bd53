"""A call in virtual time is the call that it would be in real time: the same events, at the same times.

In real time, because that is what the virtual one is compared with.
"""

from __future__ import annotations

from typing import Any, Literal

import pytest

from piopiy_pipeline.testing import (
    Caller,
    Event,
    Habits,
    Providers,
    Replies,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from tests.support.busy_machine import skip_if_overloaded
from tests.support.scripted_bots import Restaurant
from tests.support.virtual import PEOPLE, YES

pytestmark = pytest.mark.realtime

APART_S = 0.06
"""The two clocks may differ by so much, on any event."""
TRIES = 3
"""A machine that is busy with something else holds a call up now and then; virtual time never."""

PROVIDERS = Providers(
    stt=Transcripts(latency=0.3),
    llm=Replies(
        "We have a table by the window and another one out on the terrace under the old lime trees.",
        (Tool("book", people=4, day="Friday"), "It is booked. Good evening to you."),
        latency=0.335,
    ),
    tts=Voice(latency=0.135, words=True),
)
# Not multiples of 20 ms: on the grid of the frames a rounding error would be a frame.
CALLER = (
    Caller(habits=Habits(settle_s=0.485, hangup_after_s=0.985))
    .say(PEOPLE, text="A table for four please.")
    .interrupt(YES, after=0.985, text="Yes please.")
)


def run(clock: Literal["virtual", "real"]) -> SimulatedCall:
    return simulate(Restaurant(), CALLER, providers=PROVIDERS, clock=clock)


def what(event: Event) -> tuple[str, dict[str, Any]]:
    """An event without its times."""
    return event.kind, {key: value for key, value in event.data.items() if key not in ("start", "end")}


def times(event: Event) -> list[float]:
    return [event.at, *(float(event.data[key]) for key in ("start", "end") if key in event.data)]


def differences(one: SimulatedCall, other: SimulatedCall) -> list[str]:
    """What the two calls do not agree on."""
    ours, theirs = [what(event) for event in one.events], [what(event) for event in other.events]
    if ours != theirs:
        at = next((n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), -1)
        return [f"the events are others from the {at + 1}th on\n{one.timeline()}\n{other.timeline()}"]
    return [
        f"{event.kind} at {event.at:.3f} s is {late * 1000:.0f} ms apart"
        for event, same in zip(one.events, other.events, strict=True)
        if (late := max(abs(a - b) for a, b in zip(times(event), times(same), strict=True))) > APART_S
    ]


def test_the_real_and_the_virtual_run_of_a_call_agree_on_every_event_and_on_its_time() -> None:
    virtual = run("virtual")
    virtual.assert_interrupted(turn=1)
    virtual.assert_tool("book", people=4, day="Friday")
    virtual.assert_said("Good evening to you.", turn=2)
    assert len(virtual.events) > 25

    found: list[str] = []
    for _ in range(TRIES):
        real = run("real")
        assert real.wall_s > virtual.duration_s, "it took its time"
        found = differences(virtual, real)
        if not found:
            return
    skip_if_overloaded("\n".join(found))
    pytest.fail("\n".join(found))
