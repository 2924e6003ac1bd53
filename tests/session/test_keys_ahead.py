"""Keys that are pressed ahead of a question are kept, up to a bound."""

from __future__ import annotations

from piopiy_pipeline.session.held_turns import MAX_KEYS_AHEAD, KeysAhead
from tests.support.agents import logged


def test_of_too_many_keys_the_last_are_left_out_and_that_is_logged_once_without_the_keys() -> None:
    with logged() as lines:
        ahead = KeysAhead()
        ahead.keep("7" * MAX_KEYS_AHEAD)
        assert lines == []
        ahead.keep("123")
        ahead.keep("4")
        assert [line for _, line in lines] == [
            f"WARNING the caller has pressed more than {MAX_KEYS_AHEAD} keys ahead of a question: 3 left out, and "
            "those that follow"
        ]
        assert ahead.take() == "7" * MAX_KEYS_AHEAD
        ahead.keep("1" * (MAX_KEYS_AHEAD + 1))
        assert len(lines) == 2
