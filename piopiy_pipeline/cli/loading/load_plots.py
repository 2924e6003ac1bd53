"""Draws the plots of a load report as SVG: values over time, and how many of them stay below a value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

from piopiy_pipeline.cli.loading.samples import Sample, Samples, percentile

__all__ = ["Series", "as_steps", "by_second", "over_time", "shares", "slices"]

WIDTH, HEIGHT = 560, 240
LEFT, TOP, RIGHT, BOTTOM = 56, 14, 14, 34
MAX_DOTS = 1500
"""Dots of one series: more than can be told apart, and a page stays small."""
MAX_POINTS = 400
SLICES = 40


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a plot. `colour` is a class of the page's style: a to e."""

    name: str
    colour: str
    points: Sequence[Sample]
    shape: str = "line"  # or "area", "dots"


def slices(samples: Samples, percent: float, seconds: float) -> list[Sample]:
    """Return a percentile for each of 40 slices of the run that has values, at the middle of the slice."""
    width = max(seconds / SLICES, 1.0)
    values: dict[int, list[float]] = {}
    for sample in samples.kept:
        values.setdefault(int(sample.at / width), []).append(sample.value)
    return [
        Sample((number + 0.5) * width, percentile(np.sort(np.array(found)), percent))
        for number, found in sorted(values.items())
    ]


def by_second(points: Sequence[Sample]) -> list[Sample]:
    """Return at most `MAX_POINTS` points, of each stretch the highest."""
    size = math.ceil(len(points) / MAX_POINTS) or 1
    return [max(points[at : at + size], key=lambda point: point.value) for at in range(0, len(points), size)]


def as_steps(points: Sequence[Sample]) -> list[Sample]:
    """Return points between which a value stays as it was, instead of going straight to the next one."""
    return [
        *points[:1],
        *(point for before, after in pairwise(points) for point in (Sample(after.at, before.value), after)),
    ]


def over_time(series: Sequence[Series], *, seconds: float, unit: str) -> str:
    """Draw values over the time of a run.

    Args:
        series: What is drawn; those without points are left out.
        seconds: How long the run took.
        unit: What the values are, for the axis.
    """
    shown = [one for one in series if one.points]
    top = _round_up(max((point.value for one in shown for point in one.points), default=1.0))
    if unit == "calls":
        top = 4 * math.ceil(top / 4)  # there are no halves of calls
    seconds = max(seconds, 1.0)

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(at / seconds, 1.0)

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)

    drawn = _grid([top * part / 4 for part in range(5)], y, unit)
    step = _round_up(seconds / 6)
    drawn += [
        f'<text x="{x(n * step):.0f}" y="{HEIGHT - 14}" text-anchor="middle">{n * step:g} s</text>'
        for n in range(int(seconds / step) + 1)
    ]
    for one in shown:
        drawn.append(_drawn(one, [(x(point.at), y(point.value)) for point in one.points], y(0.0)))
    return _plot(drawn, shown)


def shares(series: Mapping[str, Samples], colours: Mapping[str, str], *, unit: str) -> str:
    """Draw which share of the values of each series is at most how large (an empirical distribution)."""
    named = {name: samples.values() for name, samples in series.items() if samples.count}
    largest = max((percentile(values, 99.5) for values in named.values()), default=1.0)
    right = _round_up(max(largest, 1.0))

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(value / right, 1.0)

    def y(share: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share / 100)

    drawn = _grid([0, 25, 50, 75, 95], y, "%")
    drawn += [
        f'<text x="{x(right * n / 5):.0f}" y="{HEIGHT - 14}" text-anchor="{"end" if n == 5 else "middle"}">'
        f"{right * n / 5:g} {escape(unit)}</text>"
        for n in range(6)
    ]
    shown = []
    for name, values in named.items():
        marks = np.linspace(0, 100, min(200, max(values.size, 2)))
        points = [(x(percentile(values, share)), y(float(share))) for share in marks]
        one = Series(name, colours[name], [Sample(0, 0)])
        shown.append(one)
        drawn.append(_drawn(one, points, y(0)))
    return _plot(drawn, shown)


def _drawn(series: Series, points: Sequence[tuple[float, float]], floor: float) -> str:
    if series.shape == "dots":
        step = math.ceil(len(points) / MAX_DOTS) or 1
        return "".join(
            f'<circle class="dot {series.colour}" cx="{x:.1f}" cy="{y:.1f}" r="2" stroke="none"/>'
            for x, y in points[::step]
        )
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if series.shape == "area":
        ends = f"{points[-1][0]:.1f},{floor:.1f} {points[0][0]:.1f},{floor:.1f}"
        return f'<polygon class="area {series.colour}" stroke="none" points="{line} {ends}"/>'
    if len(points) == 1:
        return f'<circle class="{series.colour}" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="3"/>'
    return f'<polyline class="line {series.colour}" style="fill:none" points="{line}"/>'


def _grid(values: Sequence[float], y: Callable[[float], float], unit: str) -> list[str]:
    drawn = []
    for value in values:
        drawn.append(f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>')
        drawn.append(
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}'
            f"{'%' if unit == '%' else ''}</text>"
        )
    if unit != "%":
        drawn.append(f'<text x="{WIDTH - RIGHT}" y="{TOP + 10}" text-anchor="end">{escape(unit)}</text>')
    return drawn


def _plot(drawn: Sequence[str], shown: Sequence[Series]) -> str:
    if not shown:
        return '<p class="none">Nothing was measured.</p>'
    marks = {
        "dots": '<circle class="dot {}" cx="7" cy="5" r="3" stroke="none"/>',
        "area": '<rect class="area {}" width="14" height="10" stroke="none"/>',
        "line": '<path class="line {}" d="M0 5H14"/>',
    }
    key = "".join(
        f"<span><svg>{marks[one.shape].format(one.colour)}</svg>{escape(one.name)}</span>" for one in shown
    )
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(drawn)}</svg>'
        f'<div class="key">{key}</div>'
    )


def _round_up(value: float) -> float:
    """Return the next number with one digit and zeros behind it, in steps that quarters can be read of."""
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value)
