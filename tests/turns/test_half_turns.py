"""Two halves of what a caller said, between which the bot began to answer."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.turns.half_turns import HalfTurns

SYSTEM = {"role": "system", "content": "Be brief."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def after(*, bot_began: float | None, goes_on: float) -> HalfTurns:
    """Return the halves behind a turn that ended at 10 s."""
    halves = HalfTurns()
    halves.written([SYSTEM, user("a table for")], 10.0)
    if bot_began is not None:
        halves.bot_began(bot_began)
    halves.turn_began(goes_on)
    return halves


def test_halves_are_joined_and_what_was_heard_comes_before_them() -> None:
    halves = after(bot_began=10.5, goes_on=11.2)
    messages = [SYSTEM, user("a table for"), bot("For how"), user("four people")]
    assert halves.written(messages, 13.0) == [SYSTEM, bot("For how"), user("a table for four people")]


def test_a_third_part_joins_the_two_before_it() -> None:
    halves = after(bot_began=None, goes_on=11.0)
    joined = halves.written([SYSTEM, user("a table for"), user("four people")], 13.0)
    assert joined is not None
    halves.turn_began(13.5)
    third = halves.written([*joined, user("on Friday")], 15.0)
    assert third == [SYSTEM, user("a table for four people on Friday")]


@pytest.mark.parametrize(("bot_began", "goes_on"), [(10.5, 11.6), (None, 13.5)])
def test_a_caller_who_speaks_later_says_something_new(bot_began: float | None, goes_on: float) -> None:
    halves = after(bot_began=bot_began, goes_on=goes_on)
    assert halves.written([SYSTEM, user("a table for"), user("four people")], 15.0) is None


def test_a_tool_in_between_parts_the_halves() -> None:
    halves = after(bot_began=None, goes_on=11.0)
    tool = {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}
    messages = [SYSTEM, user("a table for"), tool, {"role": "tool", "content": "{}"}, user("four people")]
    assert halves.written(messages, 13.0) is None


def test_what_is_no_text_is_left_alone() -> None:
    halves = after(bot_began=None, goes_on=11.0)
    parts = {"role": "user", "content": [{"type": "text", "text": "four people"}]}
    assert halves.written([SYSTEM, user("a table for"), parts], 13.0) is None
    assert halves.written([], 14.0) is None
