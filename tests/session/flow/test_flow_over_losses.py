"""An agent that is lost between any two nodes: the next one goes on in the same node, with what was collected.

Whole calls in virtual time. The agent is lost when a node was entered, while a function runs, when it has returned, and
while the node speaks.
"""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from piopiy_pipeline.testing import AgentLoss, CallerLine, simulate
from tests.support import flow_calls
from tests.support.flow_calls import (
    PROVIDERS,
    WAYS,
    assert_it_goes_on_where_it_was,
    booking_bot,
    moments,
    walk,
    walked,
)

GREETING_S = 0.6
"""How long the voice says "Good day.", in seconds."""
MOMENTS = moments(("flow", 0.0), ("flow", 0.25), ("flow", 1.0), ("tool", 0.0), ("tool_result", 0.0))


@pytest.mark.parametrize(("way", "event", "number", "after_s"), MOMENTS)
def test_the_flow_goes_on_where_it_was(way: str, event: str, number: int, after_s: float) -> None:
    assert_it_goes_on_where_it_was(walk, way, AgentLoss(event, after_s, number))


@pytest.mark.parametrize("after_s", [round(0.1 + n * 0.05, 2) for n in range(25)])
def test_a_greeting_is_heard_to_its_end_and_the_first_node_speaks(after_s: float) -> None:
    async def caller(line: CallerLine) -> None:
        await line.pause(15)

    call = simulate(booking_bot, caller, providers=PROVIDERS, losses=[AgentLoss("answered", after_s)])
    (lost,) = call.of("agent_lost")
    *greeting, first = (event.data["text"] for event in call.of("bot_turn"))
    assert first == "Ask whether the caller wants to book a table or to change a booking."
    heard_s = lost.at - call.of("bot_audio")[0].at
    if heard_s <= 0 or heard_s >= GREETING_S:
        assert greeting == ["Good day."]
    elif greeting:
        assert greeting == ["day."], "a word that has begun counts as heard, and none is said twice"
    else:
        assert heard_s >= GREETING_S / 2, "its last word had begun, in a turn that was not over"


def _slow(function: Any, runs: list[float]) -> Any:
    @functools.wraps(function)
    async def slowly(*args: Any, **given: Any) -> Any:
        runs.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.5)
        return await function(*args, **given)

    return slowly


def test_a_function_that_may_run_again_runs_again_and_leads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[float] = []
    monkeypatch.setattr(flow_calls, "set_time", _slow(flow_calls.set_time, runs))
    words = ["a table please", "we are 4", "on Friday", "yes"]
    call = walk(words, [AgentLoss("tool", 0.2, 3)])
    call.assert_ended("agent_hangup")
    assert len(runs) == 2
    assert [step[2] for step in walked(call)] == ["welcome", "people", "time", "confirm", "goodbye"]


def test_of_any_other_function_the_caller_is_asked_in_the_same_node(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[float] = []
    monkeypatch.setattr(flow_calls, "set_people", _slow(flow_calls.set_people, runs))
    words = ["a table please", "we are 4", "we are 4", "on Friday", "yes"]
    call = walk(words, [AgentLoss("tool", 0.2, 2)])
    call.assert_ended("agent_hangup")
    assert len(runs) == 2  # the second is the caller's wish: the bot has asked once more
    assert [step[2] for step in walked(call)] == ["welcome", "people", "time", "confirm", "goodbye"]


def test_three_losses_in_one_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [AgentLoss("flow", 0.5, number) for number in (2, 4, 6)]
    call = walk(WAYS["changes their mind"], losses)
    call.assert_ended("agent_hangup")
    call.assert_said("Repeat the booking for 3 on Friday")
