"""`--chaos-report FILE`: what the tests of `tests/chaos` have measured, as a table in Markdown.

A test hands over a row by `record_property("chaos", row)`; xdist brings it from its workers. Rows of tests that failed
are left out, because their figures are of something else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

__all__ = ["pytest_addoption", "pytest_runtest_logreport", "pytest_sessionfinish"]

COLUMNS = (
    "fault",
    "noticed_s",
    "audible_elsewhere_s",
    "silence_s",
    "others_worst_gap_s",
    "memory_mb",
    "what became of it",
)
_rows: list[dict[str, Any]] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--chaos-long", action="store_true", help="run the tests of tests/chaos in their long form"
    )
    parser.addoption(
        "--chaos-report", metavar="FILE", help="write what the tests of tests/chaos measured to this file"
    )


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and report.passed:
        _rows.extend(dict(value) for name, value in report.user_properties if name == "chaos")  # type: ignore[call-overload]


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--chaos-report", default=None)
    if path is None or hasattr(session.config, "workerinput"):
        return
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    rows = sorted(_rows, key=lambda row: str(row["fault"]))
    lines += [f"| {' | '.join(_cell(row.get(column, '')) for column in COLUMNS)} |" for row in rows]
    Path(path).write_text("\n".join(lines) + "\n")


def _cell(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
