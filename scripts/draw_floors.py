"""Draws docs/images/floors.svg from the import contracts of pyproject.toml: what stands on what.

Run it after a change of the contracts: ``python scripts/draw_floors.py``. A test compares the two.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "floors.svg"

ROW, GAP, WIDTH, LEFT = 34, 8, 440, 16


def floors(project: str, contract: str) -> list[list[str]]:
    """Return the layers of a contract, the highest first, as the packages of each."""
    contracts = tomllib.loads(project)["tool"]["importlinter"]["contracts"]
    layers = next(entry["layers"] for entry in contracts if entry["id"] == contract)
    return [re.findall(r"\w+", layer) for layer in layers]


def _tower(title: str, rows: list[list[str]], left: int) -> list[str]:
    lines = [f'<text x="{left}" y="24" font-weight="bold">{title}</text>']
    for number, names in enumerate(rows):
        top = 40 + number * (ROW + GAP)
        width = (WIDTH - GAP * (len(names) - 1)) / len(names)
        for place, name in enumerate(names):
            x = left + place * (width + GAP)
            lines.append(
                f'<rect x="{x:.0f}" y="{top}" width="{width:.0f}" height="{ROW}" rx="4"/>'
                f'<text x="{x + width / 2:.0f}" y="{top + 22}" text-anchor="middle">{name}</text>'
            )
    return lines


def draw(project: str) -> str:
    """Return the picture as SVG.

    Args:
        project: The text of pyproject.toml.
    """
    whole, gateway = floors(project, "floors"), floors(project, "gateway-floors")
    height = 40 + max(len(whole), len(gateway)) * (ROW + GAP) + LEFT
    width = 2 * WIDTH + 4 * LEFT
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>Floors of the packages: an import points down only</title>",
            "<style>svg { background: #fff } text { font: 13px sans-serif; fill: #1b1b1b }",
            "rect { fill: #eef3fb; stroke: #5b7bb0 }</style>",
            *_tower("piopiy_pipeline/", whole, LEFT),
            *_tower("piopiy_pipeline/gateway/", gateway, WIDTH + 3 * LEFT),
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw((ROOT / "pyproject.toml").read_text(encoding="utf-8")), encoding="utf-8")
