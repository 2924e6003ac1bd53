"""`benchmarks/metrics_cost.py`: its calls are calls in each mode, and one that fails is not measured."""

from __future__ import annotations

import pytest

from benchmarks import metrics_cost
from benchmarks.child_process import Failed
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.session import Call


@pytest.mark.parametrize("mode", metrics_cost.MODES)
def test_a_call_is_one_in_each_mode(mode: str) -> None:
    registry = MetricRegistry(AGENT_FAMILIES)
    with metrics_cost.mode_of(mode, registry):
        cpu_s, length_s = metrics_cost.one_call(sentences=1)
    assert cpu_s > 0
    assert 10 < length_s < 20
    turns = [
        line
        for line in registry.render().decode().splitlines()
        if line.startswith("piopiy_agent_turns_total{")
    ]
    assert bool(turns) is (mode == "counted")


def test_a_call_that_fails_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    async def bot(call: Call) -> None:
        raise ValueError("no such voice")

    monkeypatch.setattr(metrics_cost, "bot", bot)
    with pytest.raises(Failed, match="no such voice"):
        metrics_cost.one_call(sentences=1)
