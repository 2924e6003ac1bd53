"""Percentiles of `piopiy load`, beside those of numpy, and that neither values nor lateness grow without end."""

from __future__ import annotations

import random

import numpy as np
import pytest

from piopiy_pipeline.cli.loading.load_plots import Series, as_steps, by_second, over_time, shares, slices
from piopiy_pipeline.cli.loading.samples import MAX_SAMPLES, Lateness, Sample, Samples


def test_percentiles_are_values_that_occurred() -> None:
    samples = Samples()
    for value in range(1, 101):
        samples.add(0.0, value)
    assert samples.summary() == {"count": 100, "p50": 50, "p95": 95, "p99": 99, "max": 100}


def test_one_slow_answer_among_a_hundred_is_in_the_last_percentile_and_the_largest() -> None:
    samples = Samples()
    for value in [500.0] * 98 + [9000.0] * 2:
        samples.add(0.0, value)
    assert samples.summary() == {"count": 100, "p50": 500, "p95": 500, "p99": 9000, "max": 9000}


def test_nothing_measured_is_none_and_not_zero() -> None:
    assert Samples().summary() == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}
    assert Lateness().summary() == {"count": 0, "p50": None, "p95": None, "p99": None, "max": None}


def test_of_more_values_than_are_kept_the_percentiles_stay_right() -> None:
    samples, rng = Samples(), random.Random(1)
    values = [rng.lognormvariate(6, 0.5) for _ in range(2 * MAX_SAMPLES)]
    for at, value in enumerate(values):
        samples.add(float(at), value)
    found = samples.summary()
    assert len(samples.kept) == MAX_SAMPLES
    assert found["count"] == len(values)
    assert found["max"] == round(max(values))
    for percent in (50, 95, 99):
        assert found[f"p{percent}"] == pytest.approx(float(np.percentile(values, percent)), rel=0.03)
    assert np.mean([sample.at for sample in samples.kept]) == pytest.approx(MAX_SAMPLES, rel=0.02), (
        "early and late values alike"
    )


def test_lateness_is_counted_to_the_millisecond() -> None:
    lateness = Lateness()
    for number in range(100):
        lateness.add(number / 50, 0.050 if number >= 98 else 0.0015)
    assert lateness.summary() == {"count": 100, "p50": 1, "p95": 1, "p99": 50, "max": 50}
    assert [(point.at, round(point.value)) for point in lateness.worst()] == [(0, 2), (1, 50)]


def test_plots_of_anything_are_finite() -> None:
    empty, one, many = Samples(), Samples(), Samples()
    one.add(0.0, 0.0)
    for number in range(5000):
        many.add(number / 10, number % 977)
    for samples in (empty, one, many):
        drawn = over_time(
            [Series("dots", "a", samples.kept, "dots"), Series("p95", "b", slices(samples, 95, 500.0))],
            seconds=500.0,
            unit="ms",
        ) + shares({"all": samples}, {"all": "a"}, unit="ms")
        assert "nan" not in drawn
        assert "inf" not in drawn
        assert len(drawn) < 250_000
    assert "Nothing was measured" in shares({"all": empty}, {}, unit="ms")
    assert max(point.value for point in by_second(many.kept)) == 976


def test_a_number_of_calls_stays_until_it_changes() -> None:
    points = [Sample(0, 0), Sample(5, 3), Sample(9, 1)]
    assert as_steps(points) == [Sample(0, 0), Sample(5, 0), Sample(5, 3), Sample(9, 3), Sample(9, 1)]
