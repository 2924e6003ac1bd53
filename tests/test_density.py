"""`benchmarks/density.py`: what it calls a gap, whose CPU it compares, and that its plot shows what it has measured."""

from __future__ import annotations

import asyncio
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.density import is_starved, ratio_found, ratio_of, summary, table
from benchmarks.density_plot import plot_of
from benchmarks.loop_lag import PERIOD_S, LoopLag
from piopiy_pipeline.testing.line.heard_playout import BUFFER_S, HeardPlayout
from piopiy_pipeline.testing.virtual_time.virtual_loop import VirtualLoop

FRAME = 320  # samples of 20 ms at 16 kHz


def heard(arrivals: list[float]) -> list[float]:
    """Return the gaps of a telephone that gets 20 ms at each of these times, in ms."""
    playout = HeardPlayout(16000)
    for when in arrivals:
        playout.audio(FRAME, when)
    return [round(gap * 1e3) for gap in playout.gaps_s(0.0)]


def test_frames_that_come_later_than_the_buffer_lasts_leave_a_gap() -> None:
    steady = [20.0 + 0.02 * i for i in range(50)]
    late = [when + 0.1 for when in steady]
    assert heard(steady) == []
    assert heard(steady[:25] + late[25:]) == [round((0.1 - BUFFER_S) * 1e3)]


def test_a_pause_between_two_answers_is_no_gap() -> None:
    assert heard([20.0, 20.02, 22.0, 22.02]) == []


def test_speech_that_was_sent_ahead_fills_a_later_stall() -> None:
    assert heard([20.0] * 10 + [20.2]) == []


def test_gaps_before_the_measurement_do_not_count() -> None:
    playout = HeardPlayout(16000)
    for when in (20.0, 20.3):
        playout.audio(FRAME, when)
    assert playout.gaps_s(since=20.0)
    assert not playout.gaps_s(since=20.4)


def found(ms: float, lag_ms: float = 1.0, *, starved: bool = False) -> dict[str, Any]:
    """Return one measurement."""
    run = dict.fromkeys(
        ("total_ms", "lag_p95_ms", "worst_gap_ms", "gaps", "callers_lag_p99_ms", "silent_calls"), 0.0
    )
    run |= {"steady_ms": ms, "core": 0.5, "lag_p99_ms": lag_ms, "peak_mb": 200, "threads": 4, "tasks": 500}
    return run | {"did": {"utterances": 3}, "starved": starved}


def test_the_ratio_is_the_median_of_pairs_that_ran_after_one_another() -> None:
    sides = {
        "stock": summary([found(40.0), found(80.0), found(50.0)]),
        "ours": summary([found(10.0), found(40.0), found(5.0)]),
    }
    assert ratio_of(sides) == 0.25


def test_a_side_that_was_starved_has_no_ratio() -> None:
    sides = {
        "stock": summary([found(9.0, starved=True), found(40.0)]),
        "ours": summary([found(9.0), found(10.0)]),
    }
    assert ratio_of(sides) == 0.25
    assert ratio_of({"stock": summary([found(9.0, starved=True)]), "ours": summary([found(9.0)])}) is None


def test_a_side_that_takes_a_whole_core_may_be_starved_before_a_caller_has_a_gap() -> None:
    busy = found(109.0) | {"core": 1.09}
    assert is_starved(busy)
    assert not is_starved(found(9.0) | {"gaps": 3}), "its gaps are of another cause: it has a core to itself"
    assert is_starved(found(9.0) | {"lag_p95_ms": 51.0})
    assert is_starved(found(9.0) | {"silent_calls": 1})


def test_where_a_side_was_starved_the_ratio_is_that_of_slower_clocks() -> None:
    starved = {"20": {"stock": summary([found(9.0, starved=True)]), "ours": summary([found(9.0)])}}
    slowed = {"20": {"stock": summary([found(40.0)]), "ours": summary([found(5.0)])}}
    assert ratio_found({1.0: starved, 0.5: starved, 0.25: slowed}) == (0.125, 0.25)
    assert ratio_found({1.0: slowed, 0.5: starved}) == (0.125, 1.0)
    assert ratio_found({1.0: starved}) == (None, None)


def test_a_side_that_did_not_hold_has_no_ratio_and_is_named() -> None:
    results = {"100": {"stock": {"failed": "no answer\nlog"}, "ours": summary([found(9.0)])}}
    assert ratio_of(results["100"]) is None
    assert "did not hold: no answer" in table(results)
    ElementTree.fromstring(plot_of(results))


def test_the_plot_has_a_point_for_each_measurement_and_a_hollow_one_where_a_side_was_starved() -> None:
    results = {
        calls: {"stock": summary([found(50.0, 80.0, starved=calls == "20")]), "ours": summary([found(9.0)])}
        for calls in ("1", "20")
    }
    circles = [
        each for each in ElementTree.fromstring(plot_of(results)).iter() if each.tag.endswith("circle")
    ]
    assert len(circles) == 4 * 2 * 2
    assert [circle.get("class") for circle in circles].count("stock hollow") == 4


def test_the_plot_names_a_peer_only_where_it_was_measured() -> None:
    both = {"stock": summary([found(50.0)]), "ours": summary([found(9.0)])}
    assert ">livekit<" not in plot_of({"20": both})
    assert ">livekit<" in plot_of({"20": {**both, "livekit": summary([found(11.0)])}})


def test_a_loop_that_is_blocked_is_late() -> None:
    loop = VirtualLoop()
    blocked_s = 0.0

    async def block() -> float:
        nonlocal blocked_s
        lag = LoopLag(lambda: loop.time() + blocked_s)
        blocked_s = 0.030
        await asyncio.sleep(1.5 * PERIOD_S)
        return lag.quantile_ms(0.99)

    assert loop.run_until_complete(block()) == pytest.approx(30.0)
    loop.close()
