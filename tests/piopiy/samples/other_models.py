"""Models that speak as OpenAI does, chosen by a variable."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.cerebras.llm import CerebrasLLMService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.deepseek.llm import DeepSeekLLMService
from piopiy.services.openrouter.llm import OpenRouterLLMService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    models = {
        "cerebras": CerebrasLLMService,
        "deepseek": DeepSeekLLMService,
        "openrouter": OpenRouterLLMService,
    }
    llm = models[os.getenv("MODEL", "deepseek")](api_key=os.getenv("OPENAI_API_KEY"))
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
