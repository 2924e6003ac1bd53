"""With answers ahead, a turn ends when it would without them, and not under the caller's words. In virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from piopiy_pipeline.session.model.heard_first import HeardFirst
from tests.turns.test_eager_properties import check_call

TWO_SPEECHES: list[tuple[str, float]] = [("cough", 0.3), ("cough", 4.0), ("cough", 0.45), ("cough", 0.3)]
"""A turn of two speeches, behind the first of which an answer is begun and dropped."""
LONG_TURN = [
    ("no wait", 0.45),
    ("cough", 0.15),
    ("people", 0.05),
    ("people", 0.3),
    ("yes", 0.05),
    ("people", 0.15),
]


@pytest.mark.parametrize(
    ("script", "options"),
    [
        (TWO_SPEECHES, {}),
        (LONG_TURN, {"words_per_s": 6.0, "says_at": 3.0}),
    ],
)
def test_who_goes_on_in_the_moment_of_the_end_has_one_turn(
    script: list[tuple[str, float]], options: dict[str, Any]
) -> None:
    check_call(script, **options)


def test_a_turn_whose_first_answer_was_dropped_ends_no_later() -> None:
    times = []
    for eager in (True, False):
        one = check_call([*TWO_SPEECHES[:2], ("cough", 4.0)], eager=eager)
        times.append([round(event.at, 2) for event in one.call.of("user_turn")])
    assert times[0] == times[1]


def test_a_turn_that_goes_on_while_the_interruption_is_waited_for_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def late(_: HeardFirst) -> None:
        await asyncio.sleep(0.3)

    monkeypatch.setattr(HeardFirst, "written", late)
    check_call(TWO_SPEECHES)
