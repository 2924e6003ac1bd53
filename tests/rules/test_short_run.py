"""Which cases the short run has of what costs much."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.short_run import BUDGET_S, MOST_S, choose, costs_of, lines_of


class Case:
    """What the choice knows of a test."""

    def __init__(self, nodeid: str, *, is_main_job: bool = False, **indices: int) -> None:
        self.nodeid = nodeid
        self.callspec = SimpleNamespace(indices=indices)
        self._is_main_job = is_main_job

    def get_closest_marker(self, name: str) -> str | None:
        return name if name == "main_job" and self._is_main_job else None


def matrix(name: str) -> list[Case]:
    return [Case(f"{name}[{a}-{b}-{c}]", a=a, b=b, c=c) for a in range(4) for b in range(3) for c in range(2)]


def chosen(cases: list[Case], costs: dict[str, float]) -> list[Case]:
    items: list[Any] = cases
    left: list[Any] = choose(items, costs)
    return left


def test_what_costs_little_and_what_nobody_has_measured_is_there_with_every_case() -> None:
    cases = [*matrix("little"), *matrix("new")]
    assert chosen(cases, {"little": BUDGET_S / 24}) == cases


def test_of_what_costs_more_as_many_cases_are_there_as_fit_in_their_order() -> None:
    cases = [*matrix("one"), Case("between"), *matrix("two")]
    left = chosen(cases, {"one": BUDGET_S / 7, "two": BUDGET_S})
    assert [case.nodeid.partition("[")[0] for case in left] == ["one"] * 7 + ["between", "two"]
    assert left == sorted(left, key=cases.index)


def test_four_of_24_cases_try_every_value() -> None:
    left = chosen(matrix("one"), {"one": BUDGET_S / 4})
    for name, values in (("a", 4), ("b", 3), ("c", 2)):
        assert {case.callspec.indices[name] for case in left} == set(range(values)), name


def test_they_are_the_same_ones_however_the_tests_are_sorted() -> None:
    costs = {"one": BUDGET_S / 5}
    left = chosen(matrix("one"), costs)
    again = chosen(matrix("one")[::-1], costs)
    assert {case.nodeid for case in left} == {case.nodeid for case in again}


@pytest.mark.parametrize(
    ("cost_s", "is_main_job", "there"), [(MOST_S, False, 1), (9, False, 0), (9, True, 1)]
)
def test_one_that_costs_too_much_is_there_only_if_it_is_the_main_job(
    cost_s: float, is_main_job: bool, there: int
) -> None:
    cases = [Case(f"x[{number}]", is_main_job=is_main_job, a=number) for number in range(3)]
    assert len(chosen(cases, {"x": cost_s})) == there


def test_costs_are_read_as_they_were_written_but_for_what_is_always_there() -> None:
    text = lines_of({"a.py::x[1 - 2]": 3.0, "a.py::x[b]": 1.0, "a.py::little": BUDGET_S})
    assert costs_of(text) == {"a.py::x": 2.0}
