"""`benchmarks/vad.py`: that it fails when a score is not the model's, and when a call costs more than was asked for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from benchmarks import vad
from piopiy_pipeline.processors.silero import window_shape


def row(**more: Any) -> dict[str, Any]:
    side = {"cpu_ms": 1.3, "wait_p50_ms": 1.0, "wait_p95_ms": 2.0, "starved": False}
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


@pytest.mark.parametrize(("side", "status"), [("ours", 1), ("pipecat", 0)])
def test_a_side_that_was_starved_is_named_and_passes_no_limit(
    side: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = row(compared=900, equal=900)
    found[side] = {**found[side], "starved": True}
    monkeypatch.setattr(vad, "measure_all", lambda _: [found])
    monkeypatch.setattr("sys.argv", ["vad", "--at-most", "5"])
    assert vad.main() == status
    said = capsys.readouterr()
    assert f", {side} starved" in said.out
    assert ("ours was starved at 32 calls" in said.err) is bool(status)


@pytest.mark.parametrize(("windows", "starved"), [(4000, False), (3936, False), (3135, True), (0, True)])
def test_fewer_scores_than_windows_have_come_are_too_few(windows: int, starved: bool) -> None:
    assert vad.is_starved(windows, 32, 16000, 4.0) is starved


def test_analyzers_that_are_behind_do_not_stop_what_feeds_the_others() -> None:
    async def story() -> None:
        slow, quick = vad.PipecatEars(16000), vad.NoEars(16000)
        slow._task.cancel()  # it analyses nothing any more
        window = bytes(window_shape(16000).window_bytes)
        for _ in range(200):
            for ears in (slow, quick):
                ears.feed(window)
        assert len(quick.scores) == 200
        assert slow._frames.full()

    asyncio.run(story())


def test_the_scores_of_the_model_alone_differ_between_callers() -> None:
    one, other = (vad.alone(pcm, 16000, 50) for pcm in vad.callers_audio(2, 16000))
    assert len(one) == 50
    assert one != other
