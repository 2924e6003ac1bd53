"""The registry: bounded labels, counters that others keep, gauges that forget."""

from __future__ import annotations

from piopiy_pipeline.metrics.family import MetricFamily
from piopiy_pipeline.metrics.registry import MAX_VALUES, MetricRegistry

FAMILIES = (
    MetricFamily("calls_total", "counter", "Calls", ("agent",)),
    MetricFamily("free", "gauge", "Free places", ("agent",)),
    MetricFamily("wait_seconds", "histogram", "Waits", (), (0.1, 1.0)),
)


def lines(registry: MetricRegistry) -> list[str]:
    return registry.render().decode().splitlines()


def test_values_of_a_label_beyond_the_bound_count_as_other() -> None:
    registry = MetricRegistry(FAMILIES, process=False)
    for number in range(MAX_VALUES + 10):
        registry.inc("calls_total", agent=f"agent {number}")
    told_apart = [line for line in lines(registry) if line.startswith("calls_total{")]
    assert len(told_apart) == MAX_VALUES + 1
    assert 'calls_total{agent="other"} 10.0' in told_apart


def test_gauges_of_what_is_gone_are_gone_and_those_of_other_are_added() -> None:
    registry = MetricRegistry(FAMILIES, process=False)
    registry.set_all("free", {("a",): 1, ("b",): 2})
    registry.set_all("free", {("b",): 3})
    assert [line for line in lines(registry) if line.startswith("free")] == ['free{agent="b"} 3.0']
    registry.set_all("free", {(f"n{number}",): 1 for number in range(2 * MAX_VALUES)})
    assert any(
        line.startswith('free{agent="other"}') and float(line.split()[1]) > 1 for line in lines(registry)
    )


def test_a_counter_that_somebody_else_keeps_never_goes_back() -> None:
    registry = MetricRegistry(FAMILIES, process=False)
    for total in (3, 5, 2, 6):
        registry.count_to("calls_total", total, agent="a")
    assert 'calls_total{agent="a"} 6.0' in lines(registry)


def test_histograms_have_no_creation_times_and_all_their_bounds() -> None:
    registry = MetricRegistry(FAMILIES, process=False)
    registry.observe("wait_seconds", 0.5)
    assert not any("_created" in line for line in lines(registry))
    assert 'wait_seconds_bucket{le="0.1"} 0.0' in lines(registry)
    assert 'wait_seconds_bucket{le="1.0"} 1.0' in lines(registry)


def test_totals_of_values_that_count_as_other_are_added() -> None:
    registry = MetricRegistry(FAMILIES, process=False)
    for total in (2, 3):
        for number in range(MAX_VALUES + 10):
            registry.count_to("calls_total", total, agent=f"agent {number}")
    assert 'calls_total{agent="other"} 30.0' in lines(registry)
