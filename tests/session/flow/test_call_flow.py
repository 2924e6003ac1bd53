"""A flow leads a call: every edge is walked, nodes are said and heard, and what goes wrong is on the record."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext

from examples import booking_flow
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.liveness import SIGNALING_FEATURES, takes_steps
from piopiy_pipeline.signaling.messages import ConversationEvent
from piopiy_pipeline.testing import Replies, ScriptedLLM, ScriptedSTT, ScriptedTTS, Tool
from piopiy_pipeline.testing.replaying.replay import replay
from tests.support import flow_calls
from tests.support.call_state import hear_posts
from tests.support.flow_calls import (
    WAYS,
    assert_every_edge_is_walked,
    assert_its_nodes_speak,
    booking_bot,
    walk,
    walked,
)


def test_every_edge_of_six_nodes_is_walked() -> None:
    assert_every_edge_is_walked(walk)


def test_a_flow_speaks_in_its_nodes_and_ends_when_the_goodbye_was_heard() -> None:
    assert_its_nodes_speak(walk)


def test_what_a_node_says_before_is_heard_before_its_task() -> None:
    call = walk(WAYS["comes with many"])
    heard = call.said
    assert heard.index("my colleagues call you back") < heard.index("Ask whether there is anything else")
    assert len(call.of("bot_turn")) == len({e.data["text"] for e in call.of("bot_turn")})


def test_a_function_that_is_used_twice_in_one_answer_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    own = flow_calls.set_people

    @wraps(own)
    async def set_people(flow_manager: Any, people: int) -> Any:
        runs.append(people)
        return await own(flow_manager, people)

    def twice(context: LLMContext) -> Any:
        wanted = flow_calls.model(context)
        return [wanted, wanted] if isinstance(wanted, Tool) and wanted.name == "set_people" else wanted

    monkeypatch.setattr(flow_calls, "set_people", set_people)
    llm = Replies(otherwise=twice, latency=0.3)
    call = walk(["a table please", "we are 4"], providers=replace(flow_calls.PROVIDERS, llm=llm))
    assert len([one for one in call.of("tool") if one.data["name"] == "set_people"]) > 1
    assert runs == [4]
    assert [step for step in walked(call) if step[1] == "set_people"] == [("people", "set_people", "time")]
    call.assert_no_error()


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_walk_is_the_same_events(seed: int) -> None:
    words = WAYS["changes their mind"]
    assert walk(words, seed=seed).event_hash() == walk(words, seed=seed).event_hash()


def test_the_example_finds_its_file_and_its_functions(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    services = ScriptedSTT(spoken=lambda start, end: ""), ScriptedLLM(Replies()), ScriptedTTS()
    monkeypatch.setattr(booking_flow, "from_environment", lambda: services)
    call = walk(WAYS["knows a number"], bot=booking_flow.on_new_session)
    call.assert_no_error()
    call.assert_ended("agent_hangup")


def test_a_recorded_walk_is_replayed_without_a_difference(tmp_path: Path) -> None:
    walk(WAYS["knows a number"], record=tmp_path / "call.zip")
    again = replay(tmp_path / "call.zip", booking_bot)
    assert again.differences == []


def test_a_caller_who_types_walks_the_flow_as_well() -> None:
    call = walk(WAYS["changes their mind"], by="text")
    call.assert_no_error()
    call.assert_ended("agent_hangup")
    assert len(walked(call)) == 9


def test_who_watches_the_call_is_told_of_each_step() -> None:
    told: list[ConversationEvent] = []

    async def bot(call: Call) -> None:
        hear_posts(
            call, lambda message: told.append(message) if isinstance(message, ConversationEvent) else None
        )
        await booking_bot(call)

    call = walk(WAYS["knows a number"], bot=bot)
    steps = [each.data for each in told if each.event == "flow"]
    assert [(each["before"], each["function"], each["node"]) for each in steps] == walked(call)
    assert len(steps) == 3


def test_a_gateway_that_does_not_name_steps_is_not_told_of_them() -> None:
    assert takes_steps(SIGNALING_FEATURES)
    assert not takes_steps("liveness, usage")
    assert not takes_steps(None)
