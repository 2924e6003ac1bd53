"""`--short`: of each test that costs much, no more cases than fit into half a second of a processor.

`make test` is what must pass before a change lands, and it should be over before one has forgotten the change. Most
of what all tests cost is a few hundred of them with many cases (every provider, every moment of a loss, many seeds),
and some single ones that take long. So the short run has of each

- every case, if they cost less together, or if nobody has measured it yet;
- else as many as fit, and one at the least. The first ones are those in which most values of the parameters have not
  occurred: every value is tried before a pair of values is tried;
- none, if a single case costs too much and is not marked `main_job`.

They are the same cases in every run. `make test-all` runs everything, and so does pytest without `--short`.

`--note-costs` measures in a whole run what the tests cost, and writes `costs.txt` beside this module.
"""

from __future__ import annotations

import resource
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

__all__ = [
    "COSTS",
    "choose",
    "costs_of",
    "lines_of",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_runtest_logreport",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
]

COSTS = Path(__file__).with_name("costs.txt")
BUDGET_S = 0.5
"""So much of a processor do the cases of one test cost together in the short run, in seconds."""
MOST_S = 4.0
"""A case that costs more belongs to the whole run alone."""
OF_WAITING = 0.25
"""So much of a processor does a test use that waits, with all that it has started: not all of that can be counted."""

_HEAD = "# Seconds of a processor that a case of a test costs, measured by: pytest -n 8 --note-costs"
_PROPERTY = "processor_s"
_costs: dict[str, float] = defaultdict(float)
"""What each case has cost, by the ids of tests. Here, and not in a worker."""
_waited: dict[str, float] = defaultdict(float)
_last_s = 0.0
"""What this process had spent at the last report."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="run fewer cases of what costs much: make test")
    parser.addoption(
        "--note-costs", action="store_true", help=f"measure what the tests cost, and write it to {COSTS.name}"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--short"):
        chosen = choose(items, costs_of(COSTS.read_text(encoding="utf-8")))
        config.hook.pytest_deselected(items=sorted({*items} - {*chosen}, key=lambda item: item.nodeid))
        items[:] = chosen


def choose(items: Sequence[pytest.Item], costs: Mapping[str, float]) -> list[pytest.Item]:
    """Return those of these tests that the short run has, in their order. `costs` are seconds a case, by names."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        cases[_function_of(item.nodeid)].append(item)
    chosen: set[pytest.Item] = set()
    for name, its_cases in cases.items():
        cost_s = costs.get(name, 0.0)
        if cost_s <= MOST_S or its_cases[0].get_closest_marker("main_job") is not None:
            chosen.update(spread(its_cases, max(1, int(BUDGET_S / cost_s)) if cost_s else len(its_cases)))
    return [item for item in items if item in chosen]


def spread(cases: Sequence[pytest.Item], count: int) -> Sequence[pytest.Item]:
    """Return so many of the cases of a test, those first that have most values which no other one before has."""
    if count >= len(cases):
        return cases
    left = sorted(cases, key=lambda case: crc32(case.nodeid.encode()))
    tried: set[tuple[str, int]] = set()
    chosen = []
    for _ in range(count):
        best = max(left, key=lambda case: len(_values_of(case) - tried))
        left.remove(best)
        tried |= _values_of(best)
        chosen.append(best)
    return chosen


def costs_of(text: str) -> dict[str, float]:
    """Return what `lines_of` has written: seconds a case, by the names of tests."""
    lines = (line.split(maxsplit=1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(cost_s) for cost_s, name in lines}


def lines_of(costs: Mapping[str, float]) -> str:
    """Return as text what tests cost, by the ids of their cases, without those that the short run has anyway."""
    cases: dict[str, list[float]] = defaultdict(list)
    for nodeid, cost_s in costs.items():
        cases[_function_of(nodeid)].append(cost_s)
    costly = {name: sum(each) / len(each) for name, each in cases.items() if sum(each) > BUDGET_S}
    return "\n".join([_HEAD, *(f"{costly[name]:.2f} {name}" for name in sorted(costly))]) + "\n"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Have a report tell what its phase has cost."""
    global _last_s
    report = yield
    used = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    spent_s = sum(each.ru_utime + each.ru_stime for each in used)
    report.user_properties.append((_PROPERTY, spent_s - _last_s))
    _last_s = spent_s
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    _costs[report.nodeid] += sum(value for name, value in report.user_properties if name == _PROPERTY)  # type: ignore[misc]
    if "realtime" in report.keywords:
        _waited[report.nodeid] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    if session.config.getoption("--note-costs") and not hasattr(session.config, "workerinput"):
        costs = {name: max(cost_s, _waited[name] * OF_WAITING) for name, cost_s in _costs.items()}
        COSTS.write_text(lines_of(costs), encoding="utf-8")


def _function_of(nodeid: str) -> str:
    return nodeid.partition("[")[0]


def _values_of(case: pytest.Item) -> set[tuple[str, int]]:
    callspec: Any = getattr(case, "callspec", None)
    return set(callspec.indices.items()) if callspec is not None else set()
