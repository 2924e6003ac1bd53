"""Another voice in the middle of a call, by a switcher in tts_switcher=."""

import asyncio
import os

from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.agent import Agent
from piopiy.pipeline.service_switcher import ServiceSwitcher, ServiceSwitcherStrategyManual
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.llm_service import FunctionCallParams
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(instructions="You change your voice.", greeting="Good day!")
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    first = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    second = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    switcher = ServiceSwitcher(services=[first, second], strategy_type=ServiceSwitcherStrategyManual)

    async def change_voice(params: FunctionCallParams):
        await voice_agent.switch_service(second)
        await params.result_callback("done")

    schema = FunctionSchema(name="change_voice", description="Change the voice.", properties={}, required=[])
    voice_agent.add_tool(schema, change_voice)
    await voice_agent.Action(stt=stt, llm=llm, tts_switcher=switcher)
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
