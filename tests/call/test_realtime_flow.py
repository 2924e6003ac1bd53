"""A flow leads a call whose model speaks itself, on OpenAI's protocol: every edge, and what is OpenAI's own.

`test_every_providers_flow.py` has what is so with all providers. In virtual time.
"""

from __future__ import annotations

from typing import Any

import pytest
from pipecat.flows import ContextStrategy, ContextStrategyConfig, FlowManager, NodeConfig
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import AgentLoss, Tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support import flow_calls
from tests.support.flow_calls import (
    assert_every_edge_is_walked,
    assert_it_goes_on_where_it_was,
    moments_in_turn,
    tools_of,
    walked,
)
from tests.support.spoken_flows import spoken_providers, walk_of

WALK = walk_of("openai")


def test_every_edge_of_six_nodes_is_walked() -> None:
    assert_every_edge_is_walked(WALK)


MOMENTS = moments_in_turn(("flow", 0.0), ("flow", 0.25), ("flow", 1.0), ("tool_result", 0.0))


@pytest.mark.parametrize(("way", "event", "number", "after_s"), MOMENTS)
def test_the_flow_goes_on_where_it_was(way: str, event: str, number: int, after_s: float) -> None:
    assert_it_goes_on_where_it_was(WALK, way, AgentLoss(event, after_s, number))


@pytest.mark.parametrize(
    ("words", "number"),
    [
        pytest.param(["a table please", "we are 4", "on Friday", "yes"], 3, id="it may run again"),
        pytest.param(["number 4711", "number 4711", "yes"], 1, id="the caller is asked again"),
    ],
)
def test_a_function_that_ran_when_the_agent_was_lost(words: list[str], number: int) -> None:
    call = WALK(words, [AgentLoss("tool", 0.0, number)])
    assert len(call.of("agent_lost")) == 1
    call.assert_ended("agent_hangup")
    call.assert_no_error()
    assert [step[2] for step in walked(call)][-2:] == ["confirm", "goodbye"]


@pytest.mark.parametrize("losses", [[], [AgentLoss("flow", 1.0, 2)], [AgentLoss("flow", 1.0, 3)]])
def test_a_role_and_a_conversation_that_begins_anew_reach_the_session(losses: list[AgentLoss]) -> None:
    seen: list[tuple[str, set[str], list[str]]] = []

    async def go_on(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go on."""
        return {"status": "ok"}, third if flow_manager.current_node == "second" else second

    def task(text: str) -> list[Any]:
        return [{"role": "developer", "content": text}]

    third: NodeConfig = {
        "name": "third",
        "role_message": "You are Bob.",
        "context_strategy": ContextStrategyConfig(strategy=ContextStrategy.RESET),
        "task_messages": task("Ask the third."),
    }
    second: NodeConfig = {"name": "second", "task_messages": task("Ask the second."), "functions": [go_on]}
    first: NodeConfig = {
        "name": "first",
        "role_message": "You are Ann.",
        "task_messages": task("Ask the first."),
        "functions": [go_on],
    }

    def answer(context: LLMContext) -> str | Tool:
        messages: list[Any] = context.get_messages()
        texts = [str(message.get("content")) for message in messages]
        seen.append((texts[0], tools_of(context), texts[1:]))
        if messages[-1]["role"] == "user" and texts[-1] == "go on":
            return Tool("go_on")
        return [
            text
            for message, text in zip(messages, texts, strict=True)
            if message["role"] != "assistant" and text.startswith("Ask ")
        ][-1]

    async def bot(call: Call) -> None:
        agent = VoiceAgent(
            instructions="Be brief.", greeting="Good day.", flow=[first, second, third], call=call
        )
        await agent.Action(llm=OpenAIRealtimeLLMService(api_key="none"))
        await agent.start()

    call = flow_calls.walk(["go on", "go on", "hello"], losses, bot=bot, providers=spoken_providers(answer))
    call.assert_no_error()
    assert [step[2] for step in walked(call)] == ["first", "second", "third"]
    assert [(role, tools) for role, tools, _ in seen][:1] == [("You are Ann.", {"go_on"})]
    role, tools, told = seen[-1]
    assert (role, tools) == ("You are Bob.", set())
    assert not any("Ask the first." in text or "Ask the second." in text for text in told)
    assert call.turns[-1].bot == "Ask the third.", call.timeline()
