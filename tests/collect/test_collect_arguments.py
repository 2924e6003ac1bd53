"""What an author gives to the functions that collect is checked before a caller is asked: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import pytest

from piopiy_pipeline.collect import (
    as_tool,
    collect_address,
    collect_date,
    collect_digits,
    collect_email,
    collect_phone_number,
    collect_value,
    confirm,
)


@pytest.mark.parametrize(
    ("collect", "given", "says"),
    [
        (collect_digits, {"length": "4"}, "length must be a whole number, or two"),
        (collect_digits, {"length": 4.5}, "length must be a whole number, or two"),
        (collect_digits, {"length": (4, "5")}, "length must be a whole number, or two"),
        (collect_digits, {"length": (6, 2)}, "it is a number up to"),
        (
            collect_digits,
            {"lenght": 4},
            r"collect_digits\(\) has no argument 'lenght': did you mean 'length'",
        ),
        (collect_email, {"foo": 4}, r"collect_email\(\) has no argument 'foo'; there is: attempts"),
        (collect_digits, {"redact": "no"}, "redact must be True or False"),
        (collect_digits, {"model_reads": "no"}, "model_reads must be True or False"),
        (collect_digits, {"read_back": 1}, "read_back must be True, False"),
        (collect_digits, {"name": 5}, "name must be a text"),
        (collect_date, {"past": "yes"}, "past must be True or False"),
        (collect_date, {"past": True, "earliest": date(2999, 1, 1)}, "is to come, and past=True"),
        (collect_date, {"earliest": datetime(2026, 1, 1)}, "not the time"),
        (collect_date, {"time_zone": 1}, "time_zone must be a name"),
        (
            collect_address,
            {"region": "XX"},
            "region must be the code of a country, such as DE or US, not 'XX'",
        ),
        (collect_phone_number, {"region": "XX"}, "region must be the code of a country, such as DE or US"),
        (
            collect_phone_number,
            {"region": 49},
            "region must be the code of a country, such as DE or US, not 49",
        ),
        (collect_value, {"reader": None, "prompt": "?"}, "reader must be a function"),
        (collect_value, {"reader": str, "prompt": "?"}, "reader must be a function"),
        (confirm, {"prompt": " "}, "prompt must be the question"),
    ],
)
def test_a_wrong_value_is_one_sentence_when_the_tool_is_made(
    collect: Callable[..., Any], given: dict[str, Any], says: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        as_tool(collect, when="it is needed", **given)


@pytest.mark.parametrize(
    ("collect", "given", "says"),
    [
        (print, {"when": "x"}, r"print\(\) cannot be called with a call and timeout_s, name"),
        (5, {"when": "x"}, "collect must be a function"),
        (collect_phone_number, {"when": "x"}, "missing a required argument: 'region'"),
        (collect_email, {"when": " "}, "when is empty"),
        (collect_email, {"when": 5}, "when must be a text"),
        (collect_email, {"when": "x", "name": "a b!"}, "up to 64 letters, digits"),
        (collect_email, {"when": "x", "timeout_s": 0}, "timeout_s must be more than 0 seconds"),
    ],
)
def test_what_is_no_tool_is_refused_when_it_is_made(collect: Any, given: dict[str, Any], says: str) -> None:
    with pytest.raises((TypeError, ValueError), match=says):
        as_tool(collect, **given)


def test_a_function_of_ones_own_is_not_run_when_its_tool_is_made() -> None:
    async def ask(call: Any, *, timeout_s: float, name: str, size: int) -> Any:
        raise AssertionError("it was run")

    assert as_tool(ask, when="it is needed", size=3).name == "ask"
