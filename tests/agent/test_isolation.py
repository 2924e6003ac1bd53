"""What an author or the environment may ask for, and what is made of it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.isolation import Isolation
from tests.support.agents import logged

linux = pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux")


def choose(isolation: str | None = "process", capacity: int = 50, **given: Any) -> Isolation | None:
    nothing: dict[str, Any] = {"workers": None, "warm": None, "memory_mb": None, "environment": {}}
    return Isolation.choose(isolation, capacity=capacity, **{**nothing, **given})


def test_calls_share_the_process_unless_somebody_asks() -> None:
    assert choose(None) is None
    assert choose("task") is None
    assert choose("task", environment={"PIOPIY_ISOLATION": "process"}) is None, "the author's word counts"


@linux
@pytest.mark.parametrize(
    ("capacity", "workers", "capacities"),
    [(50, 4, (13, 13, 12, 12)), (3, 8, (1, 1, 1)), (1, 1, (1,)), (7, 2, (4, 3)), (5, "call", ())],
)
def test_the_capacity_is_divided(capacity: int, workers: int | str, capacities: tuple[int, ...]) -> None:
    plan = choose(capacity=capacity, workers=workers)
    assert plan is not None
    assert plan.capacities == capacities
    assert plan.one_call is (workers == "call")


@linux
def test_the_environment_fills_in_what_the_author_leaves_out() -> None:
    environment = {
        "PIOPIY_ISOLATION": "process",
        "PIOPIY_WORKERS": "call",
        "PIOPIY_WARM": "5",
        "PIOPIY_MEMORY_MB": "512",
    }
    assert choose(None, environment=environment) == Isolation(50, (), 5, 512)
    assert choose(None, capacity=3, environment=environment) == Isolation(3, (), 3, 512)
    assert choose(None, workers=1, warm=None, environment={"PIOPIY_ISOLATION": "process"}) == Isolation(
        50, (50,), 2, None
    )


@linux
@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"isolation": "thread"}, "isolation must be 'task' or 'process', not 'thread'"),
        ({"isolation": "task", "workers": 2}, "workers=2 is for isolation='process' only: pass that, too"),
        (
            {"isolation": "task", "memory_mb": 99},
            "memory_mb=99 is for isolation='process' only: pass that, too",
        ),
        ({"workers": 0}, "workers must be 'auto', 'call' or a whole number from 1 to 1000, not 0"),
        ({"workers": "many"}, "workers must be 'auto', 'call' or a whole number from 1 to 1000, not 'many'"),
        ({"workers": True}, "workers must be 'auto', 'call' or a whole number from 1 to 1000, not True"),
        ({"workers": 2, "warm": 3}, "warm=3 is for workers='call' only, where each worker takes one call"),
        ({"workers": "call", "warm": 0}, "warm must be a whole number from 1 to 1000, not 0"),
        ({"workers": "2"}, "workers must be 'auto', 'call' or a whole number from 1 to 1000, not '2'"),
        ({"memory_mb": "512"}, "memory_mb must be a whole number from 64 on, not '512'"),
        ({"memory_mb": 1}, "memory_mb must be a whole number from 64 on, not 1"),
        ({"memory_mb": 100.9}, "memory_mb must be a whole number from 64 on, not 100.9"),
        ({"workers": 2.7}, "workers must be 'auto', 'call' or a whole number from 1 to 1000, not 2.7"),
        (
            {"workers": 10**9},
            "workers must be 'auto', 'call' or a whole number from 1 to 1000, not 1000000000",
        ),
        ({"workers": "call", "warm": 1.5}, "warm must be a whole number from 1 to 1000, not 1.5"),
        ({"isolation": ""}, "isolation must be 'task' or 'process', not ''"),
        (
            {"environment": {"PIOPIY_MEMORY_MB": "1G"}},
            "PIOPIY_MEMORY_MB must be a whole number from 64 on, not '1G'",
        ),
        (
            {"isolation": None, "environment": {"PIOPIY_MEMORY_MB": "1G"}},
            "PIOPIY_MEMORY_MB must be a whole number from 64 on, not '1G'",
        ),
        (
            {"isolation": None, "environment": {"PIOPIY_ISOLATION": "thread"}},
            "PIOPIY_ISOLATION must be 'task' or 'process', not 'thread'",
        ),
        (
            {"workers": 2, "environment": {"PIOPIY_WARM": "3"}},
            "PIOPIY_WARM=3 is for workers='call' only, where each worker takes one call",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as raised:
        choose(**given)
    assert str(raised.value) == sentence


def test_a_variable_that_does_nothing_is_a_line_in_the_log() -> None:
    with logged() as lines:
        assert choose(None, environment={"PIOPIY_WORKERS": "4"}) is None
    assert any("PIOPIY_WORKERS=4 does nothing here" in line for _, line in lines)


def test_another_system_is_refused_when_the_agent_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bot(call: Any) -> None: ...

    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match="works on Linux only, not on darwin"):
        Agent("desk", "t", bot, isolation="process")
