"""What of a call's data can be sent, and which value is named if it cannot."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from piopiy_pipeline.json_values import MAX_NESTING, fault_in, has_endless_number, json_text, nests_too_deep


def nested(levels: int) -> list[Any]:
    """Lists in lists, so many."""
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


HOLDS_ITSELF: dict[str, Any] = {}
HOLDS_ITSELF["me"] = [HOLDS_ITSELF, HOLDS_ITSELF]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (
            {"order": {"when": datetime.date(2026, 1, 1)}},
            "state['order']['when'] is of type date, which is not JSON",
        ),
        ({"tags": ["a", {1, 2}]}, "state['tags'][1] is of type set, which is not JSON"),
        ({"score": float("nan")}, "state['score'] is nan, a number that is not JSON"),
        ({"score": float("-inf")}, "state['score'] is -inf, a number that is not JSON"),
        ({"n": 10**5000}, "state['n'] is an integer of thousands of digits"),
        ({"places": {(1, 2): "x"}}, "state['places'] has a key of type tuple, which is not JSON"),
        ({"tree": nested(400)}, "state['tree'][0][0][0]… nests more than 100 deep"),
        ({"tree": nested(50_000)}, "state['tree'][0][0][0]… nests more than 100 deep"),
        (HOLDS_ITSELF, "state['me'][0]['me'][0]… nests more than 100 deep"),
        (object(), "state is of type object, which is not JSON"),
    ],
)
def test_a_value_that_cannot_be_sent_is_named(value: Any, fault: str) -> None:
    with pytest.raises(ValueError) as raised:
        json_text(value, "state")
    assert str(raised.value).startswith(fault)


def test_what_can_be_sent_is_sent_as_it_is() -> None:
    value = {"a": [1, 2.5, None, True, "\ud800", "[[[{" * 200], "b": {"1": (1, 2)}, "n": 10**4000}
    assert json.loads(json_text(value, "state")) == json.loads(json.dumps(value))
    assert fault_in(value, "state") == ""


def test_the_limit_is_where_it_is_said_to_be() -> None:
    json_text(nested(MAX_NESTING), "state")
    with pytest.raises(ValueError, match="nests"):
        json_text(nested(MAX_NESTING + 1), "state")


def test_brackets_in_a_text_nest_nothing() -> None:
    assert not nests_too_deep(json.dumps({"a": '[{"\\' * 500, "b": ["\\"] * 500}))
    assert not nests_too_deep(json.dumps([[1]] * 500))
    assert nests_too_deep(json.dumps({"a": '"[' * 500, "b": nested(MAX_NESTING)}))


def test_a_number_of_thousands_of_digits_is_found_and_a_text_of_them_is_none() -> None:
    assert has_endless_number('{"n":-1' + "0" * 5000 + "}")
    assert not has_endless_number(json.dumps({"n": 10**4000, "t": "1" * 5000}))
