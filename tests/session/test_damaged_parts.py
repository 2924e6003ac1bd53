"""A checkpoint whose parts are damaged, or of another version: the call goes on, and asks anew what it cannot read."""

from __future__ import annotations

from typing import Any

import pytest

from piopiy_pipeline.collect import collect_digits
from piopiy_pipeline.session import Call, resumable_from
from piopiy_pipeline.session.collected_values import CollectedValues
from piopiy_pipeline.testing import AgentLoss, Caller, Replies, ScriptedLLM, simulate, simulated_agents
from piopiy_pipeline.tools import Persona
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedSTT, ToneTTS

AMY = Persona(name="amy", instructions="You are Amy.", introduction="Amy.")
WRONG_VALUE = {"value": 5, "checking": 1, "partial": 0, "read_back": 1, "by": 3, "counts": [1]}
NODE: dict[str, Any] = {
    "name": "first",
    "task_messages": [{"role": "developer", "content": "Ask."}],
    "functions": [],
}


@pytest.mark.parametrize(
    ("part", "damaged"),
    [
        ("collected", 7),
        ("collected", [None]),
        ("collected", {"done": 5, "open": []}),
        ("collected", {"done": {"code#1": 5}}),
        ("collected", {"done": {"code#1": {}}}),
        ("collected", {"open": {"code#1": {}}}),
        ("collected", {"open": {"code#1": WRONG_VALUE}}),
        ("hand_off", "amy"),
        ("hand_off", {"agent": "amy", "count": "x", "base": 5}),
        ("language", 5),
        ("language", "xx"),
        ("sentence", {"beside": 5}),
        ("sentences", 5),
        ("sentences", [5]),
        ("flow", 5),
        ("flow", {"node": 5}),
        ("flow", {"node": "second", "entered": True, "state": [1]}),
        ("flow", {"node": "second", "entered": False, "state": 5}),
    ],
)
def test_a_part_that_is_damaged_costs_what_is_in_it_and_not_the_call(
    part: str, damaged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(checkpoint: dict[str, Any] | None, heard: str | None = None) -> Any:
        parts = {} if checkpoint is None else {**checkpoint.get("parts", {}), part: damaged}
        return resumable_from(checkpoint and {**checkpoint, "parts": parts}, heard)

    monkeypatch.setattr(simulated_agents, "resumable_from", broken)
    codes: list[str] = []
    answers = 0

    async def bot(call: Call) -> None:
        call.add_personas(AMY)
        flow: Any = [NODE, {**NODE, "name": "second"}] if part == "flow" else None
        agent = VoiceAgent(
            instructions="Be brief.",
            greeting="Hi.",
            call=call,
            flow=flow,
            languages={"en": None, "de": None},
        )

        async def ask(_: object) -> None:
            nonlocal answers
            answers += 1
            if part == "collected":
                codes.append((await collect_digits(call, name="code", prompt="The code?", length=4)).value)

        agent.on("answered", ask)
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM(Replies(otherwise="Aha.")), tts=ToneTTS())
        await agent.start()

    caller = Caller().say("Hello there my friend").pause(6).say("four one five seven").pause(4)
    call = simulate(bot, caller, by="text", losses=[AgentLoss("user_turn", after_s=0.5)])
    assert len(call.of("agent_lost")) == 1
    call.assert_ended("caller_hangup")
    assert answers == 2, "the next agent has answered, too"
    assert [error.data for error in call.of("error") if "Error at" in error.data["message"]] == []
    assert codes == (["4157"] if part == "collected" else [])


def test_what_is_sound_of_damaged_values_is_kept() -> None:
    kept = CollectedValues({"done": {"a#1": {"value": 1}, "b#1": 5}, "open": None, "moved": 1})
    assert kept.done("a#1") == {"value": 1}
    assert kept.done("b#1") is None
    assert kept.moved
