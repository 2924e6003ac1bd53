"""Two tools, one of them with a schema in tools= and a handler that returns its result."""

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


async def list_features(params: FunctionCallParams):
    return {"features": ["leads", "invoices"]}


async def tell_price(params: FunctionCallParams):
    await params.result_callback({"price": 100})


features = FunctionSchema(name="list_features", description="List features.", properties={}, required=[])
price = FunctionSchema(name="tell_price", description="Tell the price.", properties={}, required=[])


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(instructions="You sell software.", greeting="Good day!", tools=[features])
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    voice_agent.register_tool("list_features", list_features)
    voice_agent.add_tool(price, tell_price)
    assert ToolsSchema
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
