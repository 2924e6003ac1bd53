"""Claude thinks, ElevenLabs speaks, AssemblyAI hears."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.anthropic.llm import AnthropicLLMService
from piopiy.services.assemblyai.stt import AssemblyAISTTService
from piopiy.services.elevenlabs.tts import ElevenLabsTTSService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = AssemblyAISTTService(api_key=os.getenv("ASSEMBLYAI_API_KEY"))
    llm = AnthropicLLMService(api_key=os.getenv("ANTHROPIC_API_KEY"))
    tts = ElevenLabsTTSService(api_key=os.getenv("ELEVENLABS_API_KEY"), voice_id="a voice")
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
