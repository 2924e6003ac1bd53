"""Tools of an MCP server, whose client nobody has started."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.mcp_service import MCPClient, StreamableHttpParameters
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent


async def create_session():
    voice_agent = VoiceAgent(
        instructions="You answer the telephone of a flower shop.", greeting="Flowers, good day!"
    )
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    mcp = MCPClient(StreamableHttpParameters(url="http://127.0.0.1:9/mcp"))
    mcp_tools = await mcp.register_tools(llm)
    await voice_agent.AgentAction(stt=stt, llm=llm, tts=tts, mcp_tools=mcp_tools)
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
