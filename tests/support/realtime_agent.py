"""An agent whose model hears and speaks: at a server of the test's, whose address is in the environment.

As a program (``python -m tests.support.realtime_agent``) it is an agent in a process of its own. Callers press a key
for a turn. What it tells goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from pipecat.services.llm_service import LLMService
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.chaos_agent import tell

__all__ = ["create_session", "model"]


async def create_session(call: Call, metadata: dict[str, Any] | None) -> None:
    """Greet, and have the model answer each turn."""
    agent = VoiceAgent(instructions="Be brief.", greeting="Hello.", idle=False, dtmf="text", call=call)
    await agent.Action(llm=model())
    call_id = call.info.call_id
    agent.on("answered", lambda _: tell(event="answered", call_id=call_id, resumed=bool(call.resumed)))
    agent.on("bot_turn", lambda turn: tell(event="bot_turn", call_id=call_id, text=turn.text))
    agent.on("error", lambda error: tell(event="error", stage=error.stage, message=error.message))
    end = await agent.start()
    tell(event="end", call_id=call_id, reason=end.reason, detail=end.detail)


def model() -> LLMService[Any]:
    """Return Google's service for an address of its, else OpenAI's."""
    url = os.environ["REALTIME_URL"]
    if url.startswith("https"):
        from tests.support.gemini_calls import gemini_service

        return gemini_service(url)
    return OpenAIRealtimeLLMService(api_key="none", base_url=url)


async def _main() -> None:
    model()  # what it imports would hold up the loop in the first call
    agent = Agent(
        os.environ["AGENT_ID"],
        os.environ["AGENT_TOKEN"],
        create_session,
        capacity=int(os.environ["CAPACITY"]),
    )
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
