"""What was collected, from one instance to the next: nothing is asked twice, and nothing is taken for another value."""

from __future__ import annotations

import json
from typing import Any

from piopiy_pipeline.session.collected_values import MAX_COLLECTED, CollectedValues


def next_instance(values: CollectedValues) -> CollectedValues:
    return CollectedValues(json.loads(json.dumps(values.to_json())))


def outcome(value: Any) -> dict[str, Any]:
    return {"value": value}


def test_there_is_nothing_to_keep_at_first() -> None:
    assert CollectedValues().to_json() is None
    assert CollectedValues(None).done("digits#1") is None


def test_what_was_collected_is_given_again_in_its_order() -> None:
    first = CollectedValues()
    for value in ("1", "2"):
        first.finish(first.key_of("digits"), outcome(value))
    first.note(third := first.key_of("digits"), {"value": "4"})
    then = next_instance(first)
    assert [then.done(then.key_of("digits")) for _ in range(3)] == [outcome("1"), outcome("2"), None]
    assert then.progress(third) == {"value": "4"}


def test_the_same_instance_asks_anew() -> None:
    values = CollectedValues()
    values.finish(key := values.key_of("digits"), outcome("1"))
    assert values.done(key) is None
    assert values.key_of("digits") != key


def test_what_a_caller_does_in_between_ends_it_but_not_for_a_tool_that_runs_again() -> None:
    first = CollectedValues()
    first.finish(first.key_of("digits"), outcome("1"))
    first.note(first.key_of("digits", "call.7"), {"value": "4"})
    then = next_instance(first)
    then.caller_acts()
    assert then.done(then.key_of("digits")) is None
    assert then.progress(then.key_of("digits", "call.7")) == {"value": "4"}
    assert then.progress(then.key_of("digits", "call.8")) is None


def test_a_slash_in_an_authors_name_makes_no_tools_value_of_it() -> None:
    first = CollectedValues()
    first.finish(first.key_of("arrival/date"), outcome("1"))
    first.finish(first.key_of("arrival%2Fdate"), outcome("2"))
    first.finish(first.key_of("date", "arrival"), outcome("3"))
    then = next_instance(first)
    assert then.done(then.key_of("arrival/date")) == outcome("1")
    assert then.done(then.key_of("arrival%2Fdate")) == outcome("2")
    then = next_instance(first)
    then.caller_acts()
    assert then.done(then.key_of("arrival/date")) is None
    assert then.done(then.key_of("date", "arrival")) == outcome("3")


def test_what_was_dropped_is_not_gone_on_with() -> None:
    first = CollectedValues()
    first.note(key := first.key_of("digits"), {"value": "4"})
    first.drop(key)
    assert first.to_json() is None


def test_it_is_bounded_and_tools_values_go_first() -> None:
    values = CollectedValues()
    values.finish(values.key_of("name"), outcome("x"))
    for n in range(MAX_COLLECTED + 5):
        values.finish(values.key_of("digits", f"call.{n}"), outcome(n))
    kept = (values.to_json() or {})["done"]
    assert len(kept) == MAX_COLLECTED
    assert kept["name#1"] == outcome("x")
    assert "call.0/digits#1" not in kept
