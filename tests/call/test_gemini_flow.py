"""What is Gemini Live's own in a call that is led by a flow. `test_every_providers_flow.py` has the rest."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.testing import AgentLoss, Tool
from piopiy_pipeline.testing.realtime import gemini_live
from tests.support import flow_calls, spoken_flows
from tests.support.flow_calls import WAYS, tools_of, walked
from tests.support.spoken_flows import spoken_model, spoken_providers, walk_spoken

pytest.importorskip("google.genai", reason="pip install 'piopiy-pipeline[gemini-live]'")
from tests.support.gemini_calls import MODELS, GeminiCase

pytestmark = pytest.mark.filterwarnings("ignore:Setting `LiveConnectConfig.generation_config`")


def test_its_other_model_is_led_through_the_flow() -> None:
    call = walk_spoken(WAYS["knows a number"], kind=GeminiCase, model=MODELS[1])
    call.assert_no_error()
    call.assert_ended("agent_hangup")
    assert walked(call)[-1][2] == "goodbye"


@pytest.mark.parametrize("latency", [0.1, 0.2, 0.3])
def test_a_function_that_is_used_again_while_its_node_is_entered_leads_there_once(
    monkeypatch: pytest.MonkeyPatch, latency: float
) -> None:
    runs: list[int] = []

    own = flow_calls.set_people

    @wraps(own)
    async def set_people(flow_manager: Any, people: int) -> Any:
        runs.append(people)
        return await own(flow_manager, people)

    monkeypatch.setattr(spoken_flows, "set_people", set_people)

    def model(context: LLMContext) -> str | Tool:
        """Whatever was said last, somebody has told the old node's session how many there are."""
        said = " ".join(str(one.get("content")) for one in context.get_messages() if isinstance(one, dict))
        if "set_people" in tools_of(context) and "we are 2" in said:
            return Tool("set_people", people=2)
        return spoken_model(context)

    monkeypatch.setattr(gemini_live, "_is_to_be_answered", lambda result: True)  # it asks itself once more
    providers = spoken_providers(model, latency=latency)
    words = ["a table please", "we are 2"]
    call = walk_spoken(words, kind=GeminiCase, providers=providers)
    assert len([one for one in call.of("tool") if one.data["name"] == "set_people"]) > 1
    assert runs == [2], "it runs once, and its result is given again"
    steps = [step for step in walked(call) if step[1] == "set_people"]
    assert steps == [("people", "set_people", "time")]
    assert all(node for _, _, node in walked(call)), call.timeline()
    assert call.said.count("The table is for 2") == 1
    lost = walk_spoken(words, [AgentLoss("flow", 0.3, number=3)], kind=GeminiCase, providers=providers)
    assert len(lost.of("agent_lost")) == 1
    assert walked(lost) == walked(call), "it does not begin anew"
