"""Draws the figures of `benchmarks/density.py` as an SVG: four panels over the number of calls, each for all sides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plot_of"]

WIDTH, HEIGHT, GAP = 400, 260, 30
LEFT, TOP, RIGHT, BOTTOM = 52, 44, 16, 42
COLOURS = {
    "stock": ("#c05621", "#f6ad55"),
    "livekit": ("#2b6cb0", "#63b3ed"),
    "ours": ("#2f855a", "#68d391"),
}
"""Of each side, on light and on dark paper."""
PAPER = {"paper": ("#fff", "#16191d"), "ink": ("#1f2933", "#e4e7eb"), "grid": ("#e4e7eb", "#3a414a")}
PANELS = (
    ("steady_ms", "CPU, ms per call-second", False),
    ("lag_p99_ms", "Event loop late, p99, ms", True),
    ("worst_gap_ms", "Longest gap at a caller, ms", True),
    ("peak_mb", "Memory of the agent, MB", False),
)
LEAST = 0.1
"""The bottom of a logarithmic panel: what is less, such as no gap at all, is drawn on it."""
Results = Mapping[str, Mapping[str, Mapping[str, Any]]]


def plot_of(results: Results) -> str:
    """Return an SVG of the results by number of calls and side.

    A hollow point is a measurement in which that side was starved of CPU; where a side failed, its line ends.
    """
    width, height = 2 * WIDTH + GAP, 2 * HEIGHT + GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12" role="img"><title>CPU, lag, gaps and memory of agents over the number of calls</title>',
        f"<style>{_rules(0)} @media (prefers-color-scheme: dark) {{ {_rules(1)} }}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for number, (key, title, logarithmic) in enumerate(PANELS):
        across, down = number % 2 * (WIDTH + GAP), number // 2 * (HEIGHT + GAP)
        drawn.append(f'<g transform="translate({across} {down})">')
        drawn += _panel(results, key, title, logarithmic=logarithmic)
        drawn.append("</g>")
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _rules(paper: int) -> str:
    """Return the colours as CSS: 0 for light paper, 1 for dark."""
    tone = {name: both[paper] for name, both in PAPER.items()}
    rules = [
        f"text {{ fill: {tone['ink']} }} .tick {{ stroke: {tone['ink']} }}",
        f".grid {{ stroke: {tone['grid']} }} .paper {{ fill: {tone['paper']} }}",
    ]
    for side, both in COLOURS.items():
        colour = both[paper]
        rules.append(f"text.{side} {{ fill: {colour} }} circle.{side} {{ fill: {colour}; stroke: {colour} }}")
        rules.append(f"polyline.{side} {{ fill: none; stroke: {colour} }}")
    return " ".join([*rules, f"circle.hollow {{ fill: {tone['paper']} }}"])


def _panel(results: Results, key: str, title: str, *, logarithmic: bool) -> list[str]:
    points = {
        side: sorted(
            ((int(calls), sides[side]) for calls, sides in results.items() if key in sides.get(side, {})),
            key=lambda point: point[0],
        )
        for side in COLOURS
    }
    values = [found[key] for side in points.values() for _, found in side]
    most_calls = max(map(int, results))
    top = _round_up(max([*values, 1.0]))

    def x(calls: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * calls / most_calls

    def y(value: float) -> float:
        share = math.log(max(value, LEAST) / LEAST) / math.log(top / LEAST) if logarithmic else value / top
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    drawn = [f'<text x="{LEFT}" y="22" font-size="14" font-weight="600">{title}</text>']
    for value in _decades(top) if logarithmic else [top * part / 4 for part in range(5)]:
        drawn.append(f'<path d="M{x(0):.0f} {y(value):.1f}H{x(most_calls):.0f}" class="grid"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    bottom = HEIGHT - BOTTOM
    for calls in map(int, results):
        drawn.append(f'<path d="M{x(calls):.1f} {bottom}v4" class="tick"/>')
        if calls not in (5,):  # its number would stand on that of its neighbour
            drawn.append(f'<text x="{x(calls):.1f}" y="{bottom + 17}" text-anchor="middle">{calls}</text>')
    drawn.append(
        f'<text x="{x(most_calls / 2):.0f}" y="{HEIGHT - 6}" text-anchor="middle">calls at once</text>'
    )
    shown = [side for side in COLOURS if points[side]]
    for place, side in enumerate(shown):
        drawn += _line([(x(calls), y(found[key]), found["starved"]) for calls, found in points[side]], side)
        left = WIDTH - RIGHT + 50 * (place - len(shown))
        drawn.append(f'<text x="{left}" y="38" class="{side}">{side}</text>')
    return drawn


def _line(points: Sequence[tuple[float, float, bool]], side: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    drawn = [f'<polyline points="{path}" class="{side}" stroke-width="2"/>']
    for x, y, starved in points:
        kind = f"{side} hollow" if starved else side
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" class="{kind}" stroke-width="2"/>')
    return drawn


def _round_up(value: float) -> float:
    """Return the next number with one digit and zeros behind it, in steps that quarters can be read of."""
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 4, 8, 10) if step * unit >= value)


def _decades(top: float) -> list[float]:
    return [10.0**power for power in range(round(math.log10(LEAST)), math.floor(math.log10(top)) + 1)]
