"""`MetricSink`: what counts. It stands apart from `registry`, whose library not every process need load."""

from __future__ import annotations

from typing import Protocol

__all__ = ["OTHER", "MetricSink"]

OTHER = "other"
"""The value of a label that stands for all that are not told apart."""


class MetricSink(Protocol):
    """Takes what is counted: a registry of this process, or the way to another's."""

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram."""
