"""The bot of `eager_line`: the offline ears and voice, and the model of `LLM_BASE_URL`.

    LLM_BASE_URL=http://127.0.0.1:9/v1 piopiy dev benchmarks/eager_agent.py --llm openai

Its caller's metadata says whether answers are begun ahead: `{"eager": false}`.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from piopiy_pipeline.agent import Agent
from piopiy_pipeline.services.providers import from_environment, prepare
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent


async def create_session(call: Call, metadata: dict[str, Any] | None = None) -> None:
    """Answer a caller."""
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello. How can I help you?", call=call)
    stt, llm, tts = from_environment()
    await agent.Action(stt=stt, llm=llm, tts=tts, eager=(metadata or {}).get("eager"))
    await agent.start()


async def main() -> None:
    """Serve calls until the process is ended."""
    await prepare()
    agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
