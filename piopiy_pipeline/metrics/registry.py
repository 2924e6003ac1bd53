"""`MetricRegistry`: counts for one process, in the objects of `prometheus-client`, and writes them for Prometheus.

The values of labels are bounded here and nowhere else: of each label of a metric the first `MAX_VALUES` values are kept
apart, and what comes later counts as "other". So a name that somebody sends in cannot fill the memory of whoever
scrapes.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from piopiy_pipeline.metrics.family import MetricFamily
from piopiy_pipeline.metrics.sink import OTHER

__all__ = ["CONTENT_TYPE", "MAX_VALUES", "MetricRegistry"]

MAX_VALUES = 32
"""So many values of one label of a metric are told apart."""
MAX_LENGTH = 64
"""So many characters of a value are kept."""
CONTENT_TYPE = CONTENT_TYPE_LATEST


class MetricRegistry:
    """The metrics of one process. It may be read in a thread beside the one that counts.

    Args:
        families: The metrics that there are.
        process: Whether the processor time, memory and open files of this process are among them.
    """

    def __init__(self, families: Iterable[MetricFamily], *, process: bool = True) -> None:
        disable_created_metrics()
        self._registry = CollectorRegistry(auto_describe=False)
        self._families = {family.name: family for family in families}
        self._counters: dict[str, Counter] = {}
        self._gauges: dict[str, Gauge] = {}
        self._histograms: dict[str, Histogram] = {}
        self._values: dict[tuple[str, str], set[str]] = {}
        self._last: dict[tuple[str, tuple[str, ...]], float] = {}
        for family in self._families.values():
            self._add(family)
        if process:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)

    def _add(self, family: MetricFamily) -> None:
        name, text, labels = family.name, family.help, family.labels
        match family.kind:
            case "counter":
                self._counters[name] = Counter(name, text, labels, registry=self._registry)
            case "gauge":
                self._gauges[name] = Gauge(name, text, labels, registry=self._registry)
            case "histogram":
                self._histograms[name] = Histogram(
                    name, text, labels, registry=self._registry, buckets=family.buckets
                )

    @property
    def collector(self) -> CollectorRegistry:
        """What `prometheus-client` serves."""
        return self._registry

    @property
    def families(self) -> tuple[MetricFamily, ...]:
        """The metrics that there are, without those of the process."""
        return tuple(self._families.values())

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter.

        Args:
            name: The counter's name.
            amount: What is added, 0 or more.
            labels: The values of all its labels.
        """
        metric = self._counters[name]
        (metric.labels(*self._bounded(name, labels)) if labels else metric).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
        metric = self._histograms[name]
        (metric.labels(*self._bounded(name, labels)) if labels else metric).observe(value)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge. Several values of labels that count as "other" are not added: the last one stays."""
        metric = self._gauges[name]
        (metric.labels(*self._bounded(name, labels)) if labels else metric).set(value)

    def set_all(self, name: str, values: dict[tuple[str, ...], float]) -> None:
        """Set a gauge for these values of its labels, and forget all others. Those that count as "other" are added."""
        metric, family = self._gauges[name], self._families[name]
        metric.clear()
        sums: dict[tuple[str, ...], float] = {}
        for given, value in values.items():
            labels = self._bounded(name, dict(zip(family.labels, given, strict=True)))
            sums[labels] = sums.get(labels, 0.0) + value
        for labels, value in sums.items():
            metric.labels(*labels).set(value)

    def count_to(self, name: str, total: float, **labels: str) -> None:
        """Bring a counter to what somebody else has counted since the start. It never goes back."""
        key = (
            name,
            tuple(labels.values()),
        )  # as they were given: those that count as "other" have totals of their own
        before = self._last.get(key, 0.0)
        if total > before:
            self._last[key] = total
        self.inc(name, max(0.0, total - before), **labels)

    def _bounded(self, name: str, labels: dict[str, str]) -> tuple[str, ...]:
        return tuple(self._bound(name, label, labels[label]) for label in self._families[name].labels)

    def _bound(self, name: str, label: str, value: str) -> str:
        known = self._values.setdefault((name, label), set())
        text = value[:MAX_LENGTH]
        if text in known:
            return text
        if len(known) >= MAX_VALUES:
            return OTHER
        known.add(text)
        return text

    def render(self) -> bytes:
        """Return all metrics in Prometheus' text format, whose content type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)
