"""What is watched goes on, whatever a watcher does and whatever text it is shown."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pipecat.observers.base_observer import BaseObserver, FrameProcessed, FramePushed

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.session import Call
from piopiy_pipeline.session.live_events import bounded
from piopiy_pipeline.session.monitor import CallMonitor
from piopiy_pipeline.signaling.messages import ConversationEvent, DataMessage, dump
from piopiy_pipeline.testing import Caller, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.agents import logged
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS
from tests.support.virtual import PEOPLE, texts

LONE = "a \ud83d b"
HERSELF: list[Any] = []
HERSELF.append(HERSELF)


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("not shown")


@pytest.mark.parametrize(
    "result",
    [
        LONE,
        {LONE: [LONE]},
        {"a": LONE * 2000},
        HERSELF,
        {(1, 2): 3},
        math.nan,
        Unshowable(),
        [Unshowable()],
        b"\xff",
        {1},
    ],
    ids=["text", "nested", "long", "circular", "keys", "nan", "unshowable", "inside", "bytes", "set"],
)
def test_any_result_of_a_tool_can_be_reported(result: Any) -> None:
    data = {"number": 1, "name": "look", "result": bounded(result)}
    dump(ConversationEvent(call_id="1", at=0.0, event="tool_result", data=data)).encode()


@pytest.mark.parametrize("result", [LONE, {"name": LONE}, {LONE: 1}])
def test_a_lone_surrogate_in_a_result_of_a_tool_is_text_like_any_other(result: Any) -> None:
    llm = ScriptedLLM([("look", {}), f"It is {LONE}."])

    async def bot(call_id: str) -> None:
        async def look(params: Any) -> Any:
            """Look."""
            return result

        agent = VoiceAgent(instructions=f"Be brief. {LONE}", greeting=f"Hello {LONE}.", tools=[look])
        await agent.Action(stt=ScriptedSTT([LONE]), llm=llm, tts=ToneTTS())
        await agent.start()

    with logged() as lines:
        call = simulate(bot, Caller().say(PEOPLE))
    assert texts(call, "user") == ["a \ufffd b"]
    assert texts(call, "bot") == ["Hello a \ufffd b.", "It is a \ufffd b."]
    assert not call.of("error")
    assert not [line for _, line in lines if "surrogate" in line or "failed" in line]
    for message in llm.asked[-1]:
        json.dumps(message, ensure_ascii=False).encode()


def test_a_number_and_metadata_of_a_caller_are_text_like_any_other() -> None:
    info = CallInfo("desk", "1", LONE, LONE, {LONE: [LONE, {"a": LONE}]})
    assert (info.from_number, info.to_number) == ("a \ufffd b", "a \ufffd b")
    assert info.metadata == {"a \ufffd b": ["a \ufffd b", {"a": "a \ufffd b"}]}
    assert '"data":{"k":"a \ufffd b"}' in dump(DataMessage(data={"k": LONE}))


@pytest.mark.parametrize(
    "told",
    ["frame_arrived", "audio_arrived", "speech_progressed", "text_heard", "bot_spoke", "sentence_progressed"],
)
def test_a_watcher_that_fails_reaches_no_stage(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def bot(call_id: str) -> None:
        agent = VoiceAgent(instructions="Be brief.")
        await agent.Action(stt=ScriptedSTT(["hello"]), llm=ScriptedLLM(["Good day."]), tts=ToneTTS())
        await agent.start()

    original = getattr(CallMonitor, told)

    def fails(monitor: CallMonitor, *args: Any) -> None:
        original(monitor, *args)
        raise RuntimeError("a watcher failed")

    monkeypatch.setattr(CallMonitor, told, fails)
    call = simulate(bot, Caller().say(PEOPLE))
    assert texts(call, "bot") == ["Good day."]
    assert not call.of("error")


class BrokenObserver(BaseObserver):
    """An author's observer, which raises whenever it is told of anything."""

    async def on_push_frame(self, data: FramePushed) -> None:
        raise RuntimeError("an observer failed")

    async def on_process_frame(self, data: FrameProcessed) -> None:
        raise RuntimeError("an observer failed")


def test_an_authors_observers_and_handlers_that_fail_reach_no_stage() -> None:
    async def bot(call: Call) -> None:
        agent = VoiceAgent(instructions="Be brief.", call=call)
        await agent.Action(stt=ScriptedSTT(["hello"]), llm=ScriptedLLM(["Good day."]), tts=ToneTTS())

        def fails(argument: Any) -> None:
            raise RuntimeError("a handler failed")

        for event in ("answered", "user_turn", "bot_turn", "end"):
            agent.on(event, fails)
        await call.run(agent.pipeline, observers=[BrokenObserver()])

    simulated = simulate(bot, Caller().say(PEOPLE))
    assert texts(simulated, "bot") == ["Good day."]
    failed = [event.data["stage"] for event in simulated.of("error")]
    assert failed == ["handler of answered", "handler of user_turn", "handler of bot_turn"]
