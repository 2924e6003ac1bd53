"""A model that hears the caller itself, with a voice."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.openai.realtime.llm import OpenAIRealtimeLLMService
from piopiy.speech_agent import SpeechAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    speech_agent = SpeechAgent(instructions="You sell flowers.", greeting="Good day!", idle_timeout_secs=30)
    await speech_agent.Action(
        omni=OpenAIRealtimeLLMService(api_key=os.getenv("OPENAI_API_KEY")),
        tts=CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY")),
        vad={"confidence": 0.7, "start_secs": 0.2, "stop_secs": 0.8, "min_volume": 0.6},
    )
    await speech_agent.start()


async def main():
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"),
        agent_token=os.getenv("AGENT_TOKEN"),
        create_session=create_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
