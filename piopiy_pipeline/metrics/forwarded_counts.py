"""`ForwardedCounts`: what a call worker has counted, until it is sent to the process that Prometheus reads.

One address for an agent, however many processes it has, and counters that outlive each of them: the process that
supervises them adds up. prometheus-client's own way, a file of each process, would leave a file behind for each call
with ``workers="call"``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from piopiy_pipeline.metrics.sink import MetricSink

__all__ = ["ForwardedCounts", "replay_counts"]

CountEntry = list[Any]
"""The name of a metric, its labels, and what is added or, as a list, observed: JSON."""


class ForwardedCounts:
    """A `MetricSink` that keeps what it is given, up to a bound. Used in one thread."""

    MAX_VALUES = 10_000
    """So many values wait at most; those that come when there is no room are not counted."""
    MESSAGE_BYTES = 40_000
    """About how much goes into one message."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._values: dict[tuple[str, tuple[tuple[str, str], ...]], list[float]] = {}
        self._waiting = 0

    def inc(self, name: str, amount: float = 1.0, **labels: str) -> None:
        key = (name, tuple(labels.items()))
        if key in self._sums or self._room():
            self._sums[key] = self._sums.get(key, 0.0) + amount

    def observe(self, name: str, value: float, **labels: str) -> None:
        if self._room():
            self._values.setdefault((name, tuple(labels.items())), []).append(round(value, 6))

    def _room(self) -> bool:
        self._waiting += self._waiting < self.MAX_VALUES
        return self._waiting < self.MAX_VALUES

    def take(self) -> Iterator[list[CountEntry]]:
        """Return what waits, in lists that each fit into a message. It does not wait any more."""
        sums, self._sums = self._sums, {}
        values, self._values = self._values, {}
        self._waiting = 0
        entries: list[CountEntry] = []
        size = 0
        for (name, labels), what in (*sums.items(), *values.items()):
            pieces = (
                [what[i : i + 1000] for i in range(0, len(what), 1000)] if isinstance(what, list) else [what]
            )
            for piece in pieces:
                entry = [name, dict(labels), piece]
                length = len(json.dumps(entry))
                if entries and size + length > self.MESSAGE_BYTES:
                    yield entries
                    entries, size = [], 0
                entries.append(entry)
                size += length
        if entries:
            yield entries


def replay_counts(entries: list[CountEntry], sink: MetricSink) -> None:
    """Count here what was counted elsewhere."""
    for name, labels, what in entries:
        if isinstance(what, list):
            for value in what:
                sink.observe(name, value, **labels)
        else:
            sink.inc(name, what, **labels)
