"""Writes the tables of docs/metrics.md from the metrics that the code has. Run it after a change of a family.

.venv/bin/python scripts/metrics_table.py          # writes
.venv/bin/python scripts/metrics_table.py --check  # says whether the page is as it would be written
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from piopiy_pipeline.gateway.metrics.gateway_families import GATEWAY_FAMILIES
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.family import MetricFamily

PAGE = Path(__file__).parents[1] / "docs" / "metrics.md"
TABLES = {"gateway": GATEWAY_FAMILIES, "agent": AGENT_FAMILIES}


def table(families: Iterable[MetricFamily]) -> str:
    """Return a table in markdown."""
    rows = ["| metric | kind | labels | what it is |", "|---|---|---|---|"]
    for one in families:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.help.replace('|', ',')} |")
    return "\n".join(rows) + "\n"


def page(text: str) -> str:
    """Return the page with its tables as they are to be. Raises `ValueError` if it has no place for one."""
    for name, families in TABLES.items():
        begin, end = (
            f"<!-- metrics of the {name}: scripts/metrics_table.py -->\n",
            f"<!-- end of the {name} -->",
        )
        before, found, rest = text.partition(begin)
        _, found_end, after = rest.partition(end)
        if not (found and found_end):
            raise ValueError(
                f"{PAGE} has no place for the metrics of the {name}: put {begin.strip()} and {end} there"
            )
        text = f"{before}{begin}\n{table(families)}\n{end}{after}"
    return text


def main() -> int:
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("docs/metrics.md is not as the code has it: run scripts/metrics_table.py", file=sys.stderr)
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
