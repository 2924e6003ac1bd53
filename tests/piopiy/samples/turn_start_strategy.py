"""Pipecat's own strategy of words."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.turns.user_start.min_words_user_turn_start_strategy import MinWordsUserTurnStartStrategy
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    strategy = MinWordsUserTurnStartStrategy(min_words=2)
    await voice_agent.Action(stt=stt, llm=llm, tts=tts, vad=True, interruption_strategy=strategy)
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
