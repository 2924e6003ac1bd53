"""Draws the figures of `benchmarks/turn_end.py` as an SVG: how long a policy waits, and how many turns it cuts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plot_of"]

WIDTH, HEIGHT, GAP = 430, 300, 40
LEFT, TOP, RIGHT, BOTTOM = 52, 44, 16, 46
MOST_MS = 1000
COLOURS = {
    "timer 0.4 s": "#9aa5b1",
    "timer 0.6 s": "#52606d",
    "smart-turn": "#c05621",
    "fast": "#3182ce",
    "smart": "#2f855a",
    "smart, model": "#805ad5",
}


def plot_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG of the first line: one panel for pauses that were put in, and one for natural ones.

    A point is a policy: to the right it waits longer (median), and higher up it cuts more turns.
    """
    line = rows[0]["line"]
    panels = [
        [row for row in rows if row["line"] == line and row["pauses"] == pauses]
        for pauses in ("put in", "natural")
    ]
    width = 2 * WIDTH + GAP
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" fill="#1f2933"><rect width="{width}" height="{HEIGHT}" fill="#fff"/>'
    ]
    for number, (panel, title) in enumerate(
        zip(panels, ("Pauses that were put in", "Natural pauses"), strict=True)
    ):
        drawn += _panel(panel, f"{title}, {line}", number * (WIDTH + GAP))
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _panel(rows: Sequence[Mapping[str, Any]], title: str, at: int) -> list[str]:
    def x(ms: float) -> float:
        return at + LEFT + (WIDTH - LEFT - RIGHT) * min(ms, MOST_MS) / MOST_MS

    def y(percent: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (1 - percent / 100)

    drawn = [f'<text x="{at + LEFT}" y="22" font-size="14" font-weight="600">{title}</text>']
    for ms in range(0, MOST_MS + 1, 200):
        drawn.append(f'<path d="M{x(ms):.0f} {y(0):.0f}V{y(100):.0f}" stroke="#e4e7eb"/>')
        drawn.append(f'<text x="{x(ms):.0f}" y="{y(0) + 16:.0f}" text-anchor="middle">{ms}</text>')
    for percent in range(0, 101, 25):
        drawn.append(f'<path d="M{x(0):.0f} {y(percent):.0f}H{x(MOST_MS):.0f}" stroke="#e4e7eb"/>')
        drawn.append(f'<text x="{x(0) - 6:.0f}" y="{y(percent) + 4:.0f}" text-anchor="end">{percent}%</text>')
    drawn.append(
        f'<text x="{x(MOST_MS / 2):.0f}" y="{HEIGHT - 10}" text-anchor="middle">'
        "median wait in ms; a bar ends at p90</text>"
    )
    for row in rows:
        colour = COLOURS.get(row["policy"], "#000")
        left, right, up = x(row["median_ms"]), x(row["p90_ms"]), y(row["turns_cut"])
        drawn.append(f'<path d="M{left:.1f} {up:.1f}H{right:.1f}" stroke="{colour}" stroke-width="2"/>')
        drawn.append(f'<circle cx="{left:.1f}" cy="{up:.1f}" r="5" fill="{colour}"/>')
        label = up + 18 if row["policy"] == "smart" else up - 9  # its neighbour stands just above it
        anchor = "end" if left > at + WIDTH - 60 else "middle"
        drawn.append(
            f'<text x="{left:.1f}" y="{label:.1f}" text-anchor="{anchor}" fill="{colour}">{row["policy"]}</text>'
        )
    return drawn
