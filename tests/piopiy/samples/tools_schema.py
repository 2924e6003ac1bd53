"""A schema with its tools in one object."""

import asyncio
import os

from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.adapters.schemas.tools_schema import ToolsSchema
from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.llm_service import FunctionCallParams
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent


async def tell_closing_time(params: FunctionCallParams):
    await params.result_callback({"closes": "18:30"})


closing_time = FunctionSchema(name="closing_time", description="When we close.", properties={}, required=[])


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    tools = ToolsSchema(standard_tools=[closing_time])
    voice_agent = VoiceAgent(instructions="You know when we close.", greeting="Good day!", tools=tools)
    voice_agent.register_tool("closing_time", tell_closing_time)
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
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
