"""CallerFigures values with their times, in bounded memory, and their percentiles."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_SAMPLES", "PERCENTILES", "Lateness", "Sample", "Samples"]

MAX_SAMPLES = 100_000
"""Of one kind of value: 100 callers with a turn every five seconds for an hour and more. Beyond that, as many of all
that came, each with the same chance (Vitter 1985, algorithm R)."""
PERCENTILES = (50, 95, 99)
LONGEST_MS = 10_000


class Sample(NamedTuple):
    """A value and when it was measured, in seconds since the run began."""

    at: float
    value: float


class Samples:
    """Values of one kind."""

    def __init__(self) -> None:
        self.count = 0
        """How many there were, also those that are not kept."""
        self.largest: float | None = None
        self._kept: list[Sample] = []
        self._rng = random.Random(0)

    def add(self, at: float, value: float) -> None:
        """Take a value, measured at `at`."""
        self.count += 1
        self.largest = value if self.largest is None else max(value, self.largest)
        if len(self._kept) < MAX_SAMPLES:
            self._kept.append(Sample(at, value))
        elif (place := self._rng.randrange(self.count)) < MAX_SAMPLES:
            self._kept[place] = Sample(at, value)

    @property
    def kept(self) -> Sequence[Sample]:
        """The values of which percentiles are made, in no certain order."""
        return self._kept

    def values(self) -> NDArray[np.float64]:
        """Return the values without their times, float64 of shape ``[samples]``, sorted."""
        return np.sort(np.array([sample.value for sample in self._kept], np.float64))

    def summary(self) -> dict[str, float | None]:
        """Return the number of values, their percentiles and the largest, rounded; None where there are none."""
        values = self.values()
        found: dict[str, float | None] = {"count": self.count}
        for percent in PERCENTILES:
            found[f"p{percent}"] = round(percentile(values, percent)) if values.size else None
        return found | {"max": None if self.largest is None else round(self.largest)}


class Lateness:
    """How late timers were: counted in steps of 1 ms, so that a day of them takes no more memory than a minute."""

    def __init__(self) -> None:
        self._counts = np.zeros(LONGEST_MS + 1, np.int64)
        self._worst: dict[int, float] = {}  # by second

    def add(self, at: float, late_s: float) -> None:
        """Take note that a timer was late by `late_s` at `at`, both in seconds."""
        late_ms = max(0.0, late_s * 1000)
        self._counts[min(int(late_ms), LONGEST_MS)] += 1
        second = int(at)
        if len(self._worst) < MAX_SAMPLES or second in self._worst:
            self._worst[second] = max(late_ms, self._worst.get(second, 0.0))

    def worst(self) -> list[Sample]:
        """Return the longest lateness of each second, in ms."""
        return [Sample(second, late_ms) for second, late_ms in sorted(self._worst.items())]

    def summary(self) -> dict[str, float | None]:
        """Return what `Samples.summary` returns."""
        total = int(self._counts.sum())
        found: dict[str, float | None] = {"count": total}
        reached = np.cumsum(self._counts)
        for percent in PERCENTILES:
            place = int(np.searchsorted(reached, np.ceil(total * percent / 100)))
            found[f"p{percent}"] = place if total else None
        return found | {"max": round(max(self._worst.values())) if self._worst else None}


def percentile(values: NDArray[np.float64], percent: float) -> float:
    """Return the value that this percentage of the values do not exceed: one of them, and none between two."""
    return float(np.percentile(values, percent, method="inverted_cdf"))
