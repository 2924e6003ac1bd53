"""What is put into a conversation in writing, by a page or by code: it is answered once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text

from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import (
    AgentLoss,
    CallerLine,
    Replies,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    Transcripts,
    simulate,
)
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.virtual import texts

READY = {"version": "2.1.0", "about": {"library": "a page"}}


def says(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}


def answering(latency: float) -> Callable[[Call], Awaitable[None]]:
    """Return a bot whose model says what it was told last."""

    def answer(context: LLMContext) -> str:
        return f"I know of {standard_message_text(context.get_messages()[-1])}."

    async def bot(call: Call) -> None:
        call.on("dtmf", lambda _: call.respond("a taxi"))
        agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", idle=False, call=call)
        llm = ScriptedLLM(Replies(otherwise=answer, latency=latency))
        await agent.Action(stt=ScriptedSTT(Transcripts(texts=[])), llm=llm, tts=ScriptedTTS())
        await agent.start()

    return bot


@pytest.mark.parametrize("after_s", [0.05, 1.0])
@pytest.mark.parametrize("typed", [True, False], ids=["typed", "a note of the code's"])
def test_it_is_answered_although_the_agent_is_lost(typed: bool, after_s: float) -> None:
    async def caller(line: CallerLine) -> None:
        line.send(says("client-ready", READY))
        await line.silence(3.0)
        if typed:
            line.send(says("send-text", {"content": "a table"}))
        else:
            await line.press("1")
        await line.silence(6.0)

    call = simulate(answering(1.2), caller, losses=[AgentLoss("user_turn" if typed else "dtmf", after_s)])
    assert len(call.of("agent_lost")) == 1
    known = "a table" if typed else "a taxi"
    assert texts(call, "bot") == ["Hello.", f"I know of {known}."], call.timeline()


def test_an_answer_that_comes_at_the_moment_at_which_its_silence_is_bridged_is_said_once() -> None:
    async def caller(line: CallerLine) -> None:
        line.send(says("client-ready", READY))
        await line.silence(3.0)
        line.send(says("send-text", {"content": "a table"}))
        await line.silence(16.0)

    call = simulate(answering(1.5), caller)
    said = ["Hello.", "I know of a table."]
    assert sum(event.data.get("characters", 0) for event in call.of("usage")) > len("".join(said)), "bridged"
    call.assert_no_error()
    assert texts(call, "bot") == said, call.timeline()
