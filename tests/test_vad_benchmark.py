"""`benchmarks/vad.py`: that it fails when a score is not the model's, and when a call costs more than was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import vad


def row(**more: Any) -> dict[str, Any]:
    side = {"cpu_ms": 1.3, "wait_p50_ms": 1.0, "wait_p95_ms": 2.0}
    return {
        "rate": 16000,
        "calls": 32,
        "feeding_ms": 0.2,
        "model_ms": 0.9,
        "paced_ms": 0.9,
        "of_model": 1.44,
        "ours": side,
        "pipecat": side,
    } | more


@pytest.mark.parametrize(
    ("found", "options", "status"),
    [
        ({"compared": 900, "equal": 900}, [], 0),
        ({"compared": 900, "equal": 899}, [], 1),
        ({"compared": 0, "equal": 0}, [], 1),
        ({"compared": 900, "equal": 900}, ["--at-most", "1.4"], 0),
        ({"compared": 900, "equal": 900}, ["--at-most", "1.2"], 1),
        ({"compared": 900, "equal": 900}, ["--at-most-of-model", "1.5"], 0),
        ({"compared": 900, "equal": 900}, ["--at-most-of-model", "1.4"], 1),
    ],
)
def test_it_fails_for_what_must_not_be(
    found: dict[str, int], options: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vad, "measure_all", lambda _: [row(**found)])
    monkeypatch.setattr("sys.argv", ["vad", *options])
    assert vad.main() == status


def test_the_scores_of_the_model_alone_differ_between_callers() -> None:
    one, other = (vad.alone(pcm, 16000, 50) for pcm in vad.callers_audio(2, 16000))
    assert len(one) == 50
    assert one != other
