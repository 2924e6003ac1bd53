"""Google for all three."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.google.llm import GoogleLLMService
from piopiy.services.google.stt import GoogleSTTService
from piopiy.services.google.tts import GoogleTTSService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = GoogleSTTService(credentials_path="key.json")
    llm = GoogleLLMService(
        api_key="key", model="gemini-2.0-flash", params=GoogleLLMService.InputParams(top_p=0.9)
    )
    tts = GoogleTTSService(credentials_path="key.json")
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main():
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"),
        agent_token=os.getenv("AGENT_TOKEN"),
        create_session=create_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
