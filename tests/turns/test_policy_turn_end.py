"""What the bot has asked, as the stop strategy finds it: in the conversation, in tools, or from the author."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.adapters.llm.schemas.tools_schema import ToolsSchema
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.turns.policy_turn_end import PolicyTurnEnd
from piopiy_pipeline.turns.turn_end_policy import TurnEndPolicy


def asked(messages: list[Any], *tools: FunctionSchema) -> PolicyTurnEnd:
    context = LLMContext(messages, tools=ToolsSchema(standard_tools=list(tools)))
    return PolicyTurnEnd(TurnEndPolicy(), context=context)


def expected(strategy: PolicyTurnEnd) -> str:
    """Return what is expected in the next turn."""

    async def turn() -> str:
        await strategy.handle_user_turn_started()
        found = str(strategy.policy.expected)
        await strategy.handle_user_turn_stopped()
        return found

    return asyncio.run(turn())


def test_the_last_words_of_the_bot_count_wherever_they_stand() -> None:
    question = {"role": "assistant", "content": "Is that right?"}
    assert expected(asked([question])) == "yes_no"
    assert expected(asked([question, {"role": "user", "content": "Hm."}])) == "yes_no"
    parts = {"role": "assistant", "content": [{"type": "text", "text": "For how many people?"}]}
    assert expected(asked([question, parts])) == "number"
    tool_use: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": []}
    assert expected(asked([question, tool_use])) == "yes_no"
    assert expected(asked([])) == "open"
    assert expected(PolicyTurnEnd(TurnEndPolicy())) == "open"


def test_a_tool_knows_how_many_digits_there_are() -> None:
    find = FunctionSchema(
        name="find_order",
        description="Find an order.",
        properties={"order_number": {"type": "string", "pattern": r"^\d{8}$"}},
        required=["order_number"],
    )
    question = {"role": "assistant", "content": "What is your order number?"}
    assert expected(asked([question], find)) == "digits:8"
    assert expected(asked([question])) == "digits"


def test_the_author_knows_better_for_one_turn() -> None:
    strategy = asked([{"role": "assistant", "content": "Please go on."}])
    strategy.expect("digits:6")
    assert expected(strategy) == "digits:6"
    assert expected(strategy) == "open"
    with pytest.raises(ValueError, match="yes_no"):
        strategy.expect("six digits")
