"""A tool, Silero, and an interruption by one word."""

import asyncio
import os

from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.agent import Agent
from piopiy.audio.interruptions.min_words_interruption_strategy import MinWordsInterruptionStrategy
from piopiy.audio.vad.silero import SileroVADAnalyzer
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.llm_service import FunctionCallParams
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent


async def tell_weather(params: FunctionCallParams):
    await params.result_callback({"sky": "cloudy", "celsius": 12})


weather = FunctionSchema(
    name="tell_weather",
    description="Tell the weather of a town.",
    properties={"town": {"type": "string", "description": "The town"}},
    required=["town"],
)


async def create_session():
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    voice_agent.add_tool(weather, tell_weather)
    await voice_agent.AgentAction(
        stt=stt,
        llm=llm,
        tts=tts,
        vad=SileroVADAnalyzer(),
        allow_interruptions=True,
        interruption_strategy=MinWordsInterruptionStrategy(min_words=1),
    )
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
