"""Reads one value out of what a program says to Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from piopiy_pipeline.metrics.registry import MetricRegistry

__all__ = ["names_of", "samples_of", "value_of"]


def samples_of(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every sample of a text of Prometheus' format: by its name and its labels, sorted."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value_of(source: MetricRegistry | str, name: str, **labels: str) -> float:
    """Return the value of one sample; 0.0 if there is none."""
    text = source if isinstance(source, str) else source.render().decode()
    return samples_of(text).get((name, tuple(sorted(labels.items()))), 0.0)


def names_of(text: str) -> set[str]:
    """Return the names of all samples."""
    return {name for name, _ in samples_of(text)}
