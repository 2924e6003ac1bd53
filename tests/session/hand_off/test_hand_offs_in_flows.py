"""A call that is handed over in the middle of a flow: the flow waits, and goes on when it comes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pipecat.flows import FlowManager, NodeConfig

from piopiy_pipeline.session import Call, current_call
from piopiy_pipeline.testing import AgentLoss, Replies, ScriptedSTT, Transcripts
from piopiy_pipeline.tools import hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.hand_offs import BACK, Desk, Model, Voices, billing_with


class FlowDesk(Desk):
    """A desk that a flow leads."""

    nodes: Sequence[NodeConfig] = ()

    async def bot(self, call: Call) -> None:
        agent = VoiceAgent(instructions="Desk", flow=list(self.nodes), call=call)
        call.add_personas(billing_with(tools=[hand_off_call({"desk": None})]))
        await agent.Action(
            stt=ScriptedSTT(Transcripts(latency=0.2), spoken=lambda start, end: ""),
            llm=Model(Replies(otherwise=self.answer, latency=0.3)),
            tts=Voices(self.spoken),
        )
        await agent.start()


@pytest.mark.parametrize("losses", [[], [AgentLoss("hand_off", 0.4, 1)], [AgentLoss("hand_off", 0.4, 2)]])
def test_a_flow_waits_in_its_node_until_the_call_comes_back(losses: list[AgentLoss]) -> None:
    desk = FlowDesk()

    async def ask_billing(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Ask billing."""
        call = current_call.get()
        assert call is not None
        flow_manager.state["asked"] = True
        await call.hand_over(billing_with(tools=[hand_off_call({"desk": None})]))
        return {"asked": True}, None

    async def go_on(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Go on."""
        return flow_manager.state, last

    last: NodeConfig = {"name": "last", "task_messages": [{"role": "developer", "content": "Bye."}]}
    first: NodeConfig = {
        "name": "first",
        "role_message": "Flow",
        "task_messages": [{"role": "developer", "content": "Ask."}],
        "functions": [ask_billing, go_on],
    }

    desk.nodes = [first, last]
    call = desk.call(["use ask_billing", BACK, "use go_on", "hello"], losses=losses)
    call.assert_no_error()
    call.assert_said("Billing here")
    assert [event.data["node"] for event in call.of("flow")] == ["first", "last"], call.timeline()
    assert [messages[0] for _, messages in desk.seen][-1] == "system: Flow"
    assert desk.seen[-1][0] == set()


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [AgentLoss("hand_off", 0.4, 1)],
        [AgentLoss("tool_result", 0.0, 1)],
        [AgentLoss("user_turn", 0.5, 2)],
        [AgentLoss("hand_off", 0.0, 2)],
    ],
)
def test_a_node_that_a_function_leads_to_is_entered_when_the_call_comes_back(losses: list[AgentLoss]) -> None:
    desk = FlowDesk()

    async def ask_billing(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Ask billing."""
        call = current_call.get()
        assert call is not None
        await call.hand_over(billing_with(tools=[hand_off_call({"desk": None})]))
        return {"asked": True}, second

    async def agrees(flow_manager: FlowManager) -> tuple[Any, Any]:
        """Agree."""
        return {"agreed": True}, None

    task = [{"role": "developer", "content": "Ask."}]
    first: NodeConfig = {"name": "first", "task_messages": task, "functions": [ask_billing]}
    second: NodeConfig = {
        "name": "second",
        "task_messages": task,
        "functions": [agrees],
        "pre_actions": [{"type": "tts_say", "text": "Now the rest."}],
    }

    desk.nodes = [first, second]
    call = desk.call(["use ask_billing", BACK, "use agrees", "hello"], losses=losses)
    call.assert_no_error()
    call.assert_said("Billing here")
    call.assert_said("Now the rest.")
    assert [event.data["node"] for event in call.of("flow")] == ["first", "second"], call.timeline()
    assert call.of("hand_off")[1].at <= call.of("flow")[1].at + 1
    assert desk.seen[-1][0] == {"agrees"}, desk.seen
    assert "agrees" in [event.data["name"] for event in call.of("tool_result")]
