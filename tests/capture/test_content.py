"""The content of a request, by which a replay finds its answer: what differs from run to run is not in it."""

from __future__ import annotations

from typing import Any

from pipecat.processors.aggregators import async_tool_messages
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.capture.content import llm_content
from tests.support.services import ScriptedLLM


def asked(identity: str) -> dict[str, Any]:
    """Return what a model is asked while a tool runs, and when it has returned, if the call of the tool has this id."""
    call = {"id": identity, "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages: list[Any] = [
        {"role": "assistant", "tool_calls": [call]},
        async_tool_messages.build_started_message(identity),
        {"role": "user", "content": "and for four"},
        async_tool_messages.build_final_result_message(identity, "found"),
    ]
    return llm_content(ScriptedLLM([]), LLMContext(messages))


def test_the_id_of_a_tool_that_still_runs_is_no_part_of_a_request() -> None:
    assert asked("call_1") == asked("replayed-2-1-0")
    assert "call-1" in str(asked("call_1")["messages"][1]["content"])
