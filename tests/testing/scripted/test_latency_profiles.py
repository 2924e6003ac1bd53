"""Latencies as data: what is drawn from a profile, and what is no profile."""

from __future__ import annotations

from random import Random

import pytest

from piopiy_pipeline.testing.scripted.latency_profiles import (
    ByTurn,
    Constant,
    LatencyProfile,
    Measured,
    Percentiles,
    as_profile,
)


def drawn(profile: LatencyProfile, count: int, *, seed: int = 0) -> list[float]:
    sample = profile.sampler(Random(seed))
    return [sample(turn) for turn in range(1, count + 1)]


def test_a_number_is_always_the_same() -> None:
    assert drawn(as_profile(0.25), 3) == [0.25, 0.25, 0.25]


def test_a_table_of_percentiles_is_met_by_what_is_drawn() -> None:
    values = sorted(drawn(Percentiles({50: 0.3, 95: 0.8, 99: 1.4}), 4000))
    assert values[2000] == pytest.approx(0.3, abs=0.03)
    assert values[3800] == pytest.approx(0.8, abs=0.1)
    assert values[0] == 0.3
    assert values[-1] == 1.4


def test_between_two_percentiles_latency_is_interpolated() -> None:
    assert Percentiles({0: 0.1, 100: 0.5}).at(25) == pytest.approx(0.2)


def test_measurements_come_in_their_order_over_and_over() -> None:
    assert drawn(Measured([0.1, 0.2], in_order=True), 5) == [0.1, 0.2, 0.1, 0.2, 0.1]


def test_measurements_are_drawn_by_chance_unless_asked_for_in_order() -> None:
    values = drawn(Measured([0.1, 0.2, 0.3]), 60)
    assert set(values) == {0.1, 0.2, 0.3}


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    profile = Percentiles({0: 0.1, 100: 0.9})
    assert drawn(profile, 5, seed=1) == drawn(profile, 5, seed=1)
    assert drawn(profile, 5, seed=1) != drawn(profile, 5, seed=2)


def test_one_turn_can_be_slower_than_the_others() -> None:
    assert drawn(ByTurn({2: 3.0}, otherwise=0.3), 3) == [0.3, 3.0, 0.3]


def test_what_is_no_latency_is_named() -> None:
    with pytest.raises(ValueError, match="0 seconds or more"):
        Constant(-1)
    with pytest.raises(ValueError, match=r"less than 0\.8 s"):
        Percentiles({50: 0.8, 95: 0.3})
    with pytest.raises(ValueError, match="no percentile"):
        Percentiles({150: 0.8})
    with pytest.raises(ValueError, match="no measurements"):
        Measured([])
    with pytest.raises(TypeError, match="a number of seconds"):
        as_profile("fast")  # type: ignore[arg-type]  # the mistake that is tested
    with pytest.raises(TypeError, match="a latency is a number of seconds"):
        ByTurn({2: "slow"})  # type: ignore[dict-item]  # as above
    with pytest.raises(TypeError, match="the number of a turn must be a whole number"):
        ByTurn({"2": 3.0})  # type: ignore[dict-item]  # as above
