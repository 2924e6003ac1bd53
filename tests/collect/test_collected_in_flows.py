"""A flow's function has a value collected: the flow goes on with it, also when the agent is lost meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.flows import FlowManager, NodeConfig
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.session import Call, current_call
from piopiy_pipeline.testing import (
    AgentLoss,
    Providers,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    SimulatedCall,
    Tool,
    Transcripts,
    Voice,
    simulate,
)
from piopiy_pipeline.tools import tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.collecting import say

pytestmark = pytest.mark.usefixtures("either_bot")

SERVE: NodeConfig = {
    "name": "serve",
    "task_messages": [{"role": "developer", "content": "Thank them."}],
    "functions": [],
}


@tool(timeout=200, idempotent=True)
async def ask_number(flow_manager: FlowManager) -> tuple[Any, NodeConfig]:
    """Ask for the customer number."""
    call = current_call.get()
    assert call is not None
    number = await collect_digits(call, prompt="What is your customer number?", length=6, read_back=True)
    flow_manager.state["number"] = number.value
    return {"number": number.value}, SERVE


IDENTIFY: NodeConfig = {
    "name": "identify",
    "task_messages": [{"role": "developer", "content": "Have the number asked for."}],
    "functions": [ask_number],
}


def model(context: LLMContext) -> str | Tool:
    last = str(context.get_messages()[-1])
    return "Thank you." if "415271" in last or "Thank them" in last else Tool("ask_number")


@pytest.mark.parametrize(
    "losses", [[], [AgentLoss("user_turn", 0.05, number=1)], [AgentLoss("bot_audio", 0.5)]]
)
def test_a_value_of_a_flow_is_collected_in_its_function(losses: Sequence[AgentLoss]) -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call, flow=[IDENTIFY, SERVE])
        await agent.Action(
            stt=ScriptedSTT(spoken=lambda start, end: ""), llm=ScriptedLLM(Replies()), tts=ScriptedTTS()
        )
        await agent.start()

    providers = Providers(
        stt=Transcripts(latency=0.1), llm=Replies(otherwise=model, latency=0.2), tts=Voice()
    )
    call: SimulatedCall = simulate(
        bot, say("four one five", "two seven one", "yes"), providers=providers, losses=losses, limit_s=200
    )
    collected = [event.data for event in call.of("collection") if event.data["outcome"] == "collected"]
    assert [data["value"] for data in collected] == ["415271"], call.timeline()
    assert [event.data["node"] for event in call.of("flow")][-1] == "serve"
    call.assert_said("Thank you")
    assert bool(call.of("agent_lost")) == bool(losses)
