"""How many answers may be begun ahead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piopiy_pipeline.turns.eager_budget import EagerBudget, EagerLimits


def test_a_turn_has_two_attempts() -> None:
    budget = EagerBudget(EagerLimits(wasted_share=1))
    budget.turn_begins()
    for now in (0.0, 1.0):
        assert budget.may_begin(now)
        budget.begin(now)
        budget.settle(used=False)
    assert not budget.may_begin(2.0)
    assert budget.take_begun() == 2
    assert budget.take_begun() == 0
    budget.turn_begins()
    assert budget.may_begin(3.0)


def test_a_minute_has_so_many() -> None:
    budget = EagerBudget(EagerLimits(per_minute=3))
    for now in range(3):
        budget.turn_begins()
        budget.begin(now)
        budget.settle(used=True)
    budget.turn_begins()
    assert not budget.may_begin(59.9)
    assert budget.may_begin(60.0)


@given(st.lists(st.lists(st.booleans(), max_size=4), min_size=1, max_size=60))
def test_what_is_wasted_stays_within_a_share_of_the_turns(turns: list[list[bool]]) -> None:
    budget = EagerBudget()
    for number, chances in enumerate(turns, 1):
        budget.turn_begins()
        for used in chances:
            now = number * 5.0
            if budget.may_begin(now):
                budget.begin(now)
                budget.settle(used=used)
        assert budget.wasted <= 2 + 0.3 * number
        assert budget.begun == budget.used + budget.wasted


@pytest.mark.parametrize("limits", [{"per_turn": 0}, {"per_minute": 0}, {"wasted_share": 2}])
def test_limits_that_cannot_work_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="EagerLimits"):
        EagerLimits(**limits)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limits", "turns", "begun"),
    [
        (EagerLimits(per_turn=1, per_minute=99, wasted_share=1.0), 5, 5),
        (EagerLimits(per_turn=3, per_minute=99, wasted_share=1.0), 5, 15),
        (EagerLimits(per_turn=3, per_minute=4, wasted_share=1.0), 5, 4),
    ],
)
def test_each_limit_is_an_authors_to_set(limits: EagerLimits, turns: int, begun: int) -> None:
    budget = EagerBudget(limits)
    for _ in range(turns):
        budget.turn_begins()
        while budget.may_begin(1.0):
            budget.begin(1.0)
            budget.settle(used=True)
    assert budget.begun == begun


@pytest.mark.parametrize(("share", "begun"), [(0.0, 1), (0.5, 6), (1.0, 10)])
def test_an_author_says_how_much_may_be_wasted(share: float, begun: int) -> None:
    budget = EagerBudget(EagerLimits(per_turn=1, per_minute=99, wasted_share=share))
    for _ in range(10):
        budget.turn_begins()
        if budget.may_begin(1.0):
            budget.begin(1.0)
            budget.settle(used=False)
    assert budget.begun == begun
