"""Draws what `benchmarks/fleet.py` found as an SVG: what the NATS server gives out, and how many bytes, over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plot_of"]

WIDTH, HEIGHT, GAP = 840, 240, 24
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 30, 40
COLOUR, OLD_COLOUR = "#2f855a", "#c05621"
PANELS = (("out", "Messages that the server gives out, a second"), ("MB", "Megabytes a second, in and out"))


def plot_of(result: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """Return an SVG of one run; of an older one beside it, if there is one. Both axes of values are logarithmic."""
    height = len(PANELS) * (HEIGHT + GAP)
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12" fill="#1f2933"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
    ]
    lines = [(result["by time"], COLOUR, "now")]
    if before is not None:
        lines.insert(0, (before["by time"], OLD_COLOUR, "before"))
    for number, (key, title) in enumerate(PANELS):
        drawn.append(f'<g transform="translate(0 {number * (HEIGHT + GAP)})">')
        drawn += _panel(lines, result["marks"], key, title)
        drawn.append("</g>")
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _averages(points: Sequence[Mapping[str, float]], key: str) -> list[tuple[float, float]]:
    """Return the middle and the average of every two seconds, in which each gateway speaks once."""
    values = {int(point["s"]): point[key] for point in points}
    return [
        (second + 1, (values.get(second, 0.0) + values.get(second + 1, 0.0)) / 2)
        for second in range(0, max(values), 2)
    ]


def _words(value: float) -> str:
    return f"{value / 1e6:g} million" if value >= 1e6 else f"{value:,g}"


def _panel(
    lines: Sequence[tuple[Sequence[Mapping[str, float]], str, str]],
    marks: Mapping[str, float],
    key: str,
    title: str,
) -> list[str]:
    last = max(point["s"] for points, _, _ in lines for point in points)
    most = max(point[key] for points, _, _ in lines for point in points)
    least = 10.0 if key == "out" else 0.1
    decades = 1
    while least * 10**decades < most:
        decades += 1

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * second / last

    def y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - math.log10(max(value, least) / least) / decades)

    drawn = [f'<text x="{LEFT}" y="20" font-size="14" font-weight="bold">{title}</text>']
    for decade in range(decades + 1):
        value = least * 10**decade
        drawn.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#d9e2ec"/>'
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{_words(value)}</text>'
        )
    for number, (name, at) in enumerate(sorted(marks.items(), key=lambda one: one[1])):
        drawn.append(
            f'<line x1="{x(at):.1f}" x2="{x(at):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#9aa5b1" '
            f'stroke-dasharray="3 3"/><text x="{x(at) + 3:.1f}" y="{HEIGHT - BOTTOM + 14 + 13 * (number % 2)}" '
            f'font-size="11">{name}</text>'
        )
    for number, (points, colour, label) in enumerate(lines):
        path = " ".join(f"{x(second):.1f},{y(value):.1f}" for second, value in _averages(points, key))
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        if len(lines) > 1:
            drawn.append(
                f'<text x="{WIDTH - RIGHT}" y="{18 + 15 * number}" text-anchor="end" fill="{colour}" '
                f'font-weight="bold">{label}</text>'
            )
    return drawn
