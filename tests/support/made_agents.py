"""A voice agent with scripted services, those of a test in the place of some, and a line for it to say."""

from __future__ import annotations

from typing import Any

from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

__all__ = ["LINE", "made"]

LINE = "Certainly, we have a table by the window and another one out on the terrace."


# ------------------------------------------------------------------ Action()


async def made(call: Call, options: dict[str, Any], **init: Any) -> VoiceAgent:
    agent = VoiceAgent(**{"instructions": "Be brief.", "call": call, **init})
    services = {"stt": ScriptedSTT(["a table"]), "llm": ScriptedLLM(["It is free."]), "tts": ToneTTS()}
    await agent.Action(**{**services, **options})
    return agent
