"""One model that hears and speaks, with its tools."""

import asyncio
import os

from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.agent import Agent
from piopiy.services.openai_realtime import OpenAIRealtimeLLMService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    async def in_stock(params):
        await params.result_callback({"flowers": ["roses", "tulips"]})

    voice_agent = VoiceAgent(instructions="You sell flowers.", greeting="Good day!")
    voice_agent.add_tool(FunctionSchema("in_stock", "What there is today.", {}, []), in_stock)
    await voice_agent.Action(llm=OpenAIRealtimeLLMService(api_key=os.getenv("OPENAI_API_KEY")))
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
