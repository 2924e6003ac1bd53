"""Writes the table of samples in docs/moving.md from the samples of tests/piopiy. Run it after a change of one.

.venv/bin/python scripts/samples_table.py          # writes
.venv/bin/python scripts/samples_table.py --check  # says whether the page is as it would be written
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "moving.md"
SAMPLES = ROOT / "tests" / "piopiy" / "samples"
BEGIN = "<!-- samples: scripts/samples_table.py -->\n"
END = "<!-- end of the samples -->"


def _list_of(name: str) -> dict[str, str]:
    """Return a list or table of tests/piopiy/test_samples.py, which says what its tests hold."""
    tree = ast.parse((ROOT / "tests" / "piopiy" / "test_samples.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == name
        ):
            value = ast.literal_eval(node.value)
            return dict(value) if isinstance(value, dict) else dict.fromkeys(value, "")
    raise ValueError(f"tests/piopiy/test_samples.py has no {name}")


def table() -> str:
    """Return the sentence and the table in markdown."""
    run, say = _list_of("RUN"), _list_of("SAY_WHAT_TO_DO")
    rows = []
    for name in [*run, *say]:
        what = (
            ast.get_docstring(ast.parse((SAMPLES / f"{name}.py").read_text(encoding="utf-8"))) or ""
        ).splitlines()[0]
        outcome = (
            "runs"
            if name in run
            else f"an `ImportError`: {say[name].replace(' piopiy', ' `piopiy').replace(' instead', '` instead')}"
        )
        rows.append(f"| `{name}` | {what} | {outcome} |")
    count = f"{len(run) + len(say)} samples: {len(run)} run, {len(say)} say at their import what to use.\n"
    return "\n".join([count, "| sample | what it shows | here |", "|---|---|---|", *rows]) + "\n"


def page(text: str) -> str:
    """Return the page with its table as it is to be. Raises `ValueError` if it has no place for one."""
    before, found, rest = text.partition(BEGIN)
    _, found_end, after = rest.partition(END)
    if not (found and found_end):
        raise ValueError(f"{PAGE} has no place for the samples: put {BEGIN.strip()} and {END} there")
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> int:
    """Write the page, or check it."""
    text = PAGE.read_text(encoding="utf-8")
    wanted = page(text)
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print("docs/moving.md is not as the samples are: run scripts/samples_table.py", file=sys.stderr)
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
