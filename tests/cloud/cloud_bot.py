"""A bot as Piopiy's users write it, for `piopiy start --cloud`."""

from __future__ import annotations

import asyncio
import os

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from tests.support.bots import LONG
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS


async def on_new_session(agent_id: str, call_id: str, from_number: str, to_number: str) -> None:
    voice_agent = VoiceAgent(instructions="You take bookings.", greeting=LONG)
    await voice_agent.Action(stt=ScriptedSTT([]), llm=ScriptedLLM([]), tts=ToneTTS())
    await voice_agent.start()


async def main() -> None:
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"), agent_token=os.getenv("AGENT_TOKEN"), create_session=on_new_session
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
