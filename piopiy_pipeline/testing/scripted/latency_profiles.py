"""How long a provider takes to answer: a number, a table of percentiles, or measured values.

A profile is a value and may be shared by many calls. Each call and provider draws from it with its own random
generator, so that a call has the same latencies whatever other calls run at the same time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from piopiy_pipeline.arguments import check_count, check_kind, check_seconds, shown

__all__ = [
    "ByTurn",
    "Constant",
    "Latency",
    "LatencyProfile",
    "Measured",
    "Percentiles",
    "Sampler",
    "as_profile",
]

Sampler = Callable[[int], float]
"""The latency of the next request, in seconds, given the number of the turn."""


class LatencyProfile(Protocol):
    """Draws a latency. Write one of your own for other distributions."""

    def sampler(self, random: Random) -> Sampler:
        """Start drawing for one provider of one call, with its random generator."""


Latency = LatencyProfile | float
"""A profile, or a number of seconds for `Constant`."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same number of seconds, at least 0."""

    seconds: float

    def __post_init__(self) -> None:
        _check("a latency", self.seconds)

    def sampler(self, random: Random) -> Sampler:
        return lambda turn: self.seconds


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Drawn from a table such as a provider publishes: ``Percentiles({50: 0.35, 95: 0.8, 99: 1.4})``.

    Between two percentiles the latency is interpolated. Below the lowest and above the highest it is theirs, so
    give 0 and 100 if the extremes matter.

    Attributes:
        table: Percentiles (0 to 100), and seconds that do not fall.

    Raises:
        ValueError: The table is empty, falls, or has other percentiles.
    """

    table: Mapping[float, float]

    def __post_init__(self) -> None:
        if not self.table:
            raise ValueError("Percentiles: the table is empty; give at least one, as {50: 0.35}")
        before = 0.0
        for percentile in sorted(self.table):
            if not 0 <= percentile <= 100:
                raise ValueError(f"Percentiles: {shown(percentile)} is no percentile; they go from 0 to 100")
            seconds = self.table[percentile]
            _check(f"Percentiles: the latency at {percentile:g}", seconds)
            if seconds < before:
                raise ValueError(
                    f"Percentiles: {seconds:g} s at {percentile:g} is less than {before:g} s below it"
                )
            before = seconds

    def at(self, percentile: float) -> float:
        """Return the latency at a percentile (0 to 100), in seconds."""
        marks = sorted(self.table)
        above = bisect_right(marks, percentile)
        if above == 0:
            return self.table[marks[0]]
        low = marks[above - 1]
        if above == len(marks):
            return self.table[low]
        high = marks[above]
        share = (percentile - low) / (high - low)
        return self.table[low] + share * (self.table[high] - self.table[low])

    def sampler(self, random: Random) -> Sampler:
        return lambda turn: self.at(100 * random.random())


@dataclass(frozen=True, slots=True)
class Measured:
    """Drawn from `seconds` that were measured: at random, or `in_order` and from the beginning again."""

    seconds: Sequence[float]
    in_order: bool = False

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError("Measured: there are no measurements")
        for one in self.seconds:
            _check("Measured: a latency", one)

    def sampler(self, random: Random) -> Sampler:
        if not self.in_order:
            return lambda turn: random.choice(self.seconds)
        drawn = 0

        def following(turn: int) -> float:
            nonlocal drawn
            drawn += 1
            return self.seconds[(drawn - 1) % len(self.seconds)]

        return following


@dataclass(frozen=True, slots=True)
class ByTurn:
    """Another latency in some turns: ``ByTurn({2: 3.0}, otherwise=0.3)``. `turns` is by the number of the turn."""

    turns: Mapping[int, Latency]
    otherwise: Latency = 0.0

    def __post_init__(self) -> None:
        check_kind("ByTurn: turns", self.turns, Mapping, "a mapping of turns to latencies")
        for turn, latency in self.turns.items():
            check_count("ByTurn: the number of a turn", turn, least=0)
            as_profile(latency)
        as_profile(self.otherwise)

    def sampler(self, random: Random) -> Sampler:
        otherwise = as_profile(self.otherwise).sampler(random)
        samplers = {turn: as_profile(latency).sampler(random) for turn, latency in self.turns.items()}
        return lambda turn: samplers.get(turn, otherwise)(turn)


def as_profile(latency: Latency) -> LatencyProfile:
    """Return `latency` as a profile. Raises `TypeError` for what is neither a profile nor a number."""
    if isinstance(latency, (int, float)):
        check_seconds("a latency", latency, zero=True)
        return Constant(float(latency))
    if not hasattr(latency, "sampler"):
        raise TypeError(
            f"a latency is a number of seconds, or Constant, Percentiles, Measured or ByTurn, not {shown(latency)}"
        )
    return latency


def _check(what: str, seconds: float) -> None:
    check_seconds(what, seconds, zero=True)
