"""A tool that raises is the model's to explain, and no failure of the model."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.testing import Caller, Providers, Replies, Tool, Transcripts, Voice, simulate
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.calls import AUDIO
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS


def test_a_tool_that_raises_is_answered_once_and_not_apologised_for() -> None:
    async def bot(call_id: str) -> None:
        async def book(params: Any, people: int) -> None:
            """Book a table."""
            raise RuntimeError("the database is away")

        agent = VoiceAgent(instructions="Be brief.", tools=[book])
        await agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
        await agent.start()

    replies = Replies((Tool("book", people=4), "I could not book it, I am sorry."))
    providers = Providers(stt=Transcripts(), llm=replies, tts=Voice())
    caller = Caller().say(AUDIO / "booking/01-people.wav", text="a table for four").pause(4).hangup()
    call = simulate(bot, caller, providers=providers)
    said = [event.data["text"] for event in call.events if event.kind == "bot_turn"]
    assert said == ["I could not book it, I am sorry."], call.timeline()
    errors = [event.data["message"] for event in call.events if event.kind == "error"]
    assert len(errors) == 1
    assert "the database is away" in errors[0] or "book" in errors[0]
    assert "went wrong" not in call.timeline(), "no apology"
