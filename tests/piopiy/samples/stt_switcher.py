"""A switcher where a service is expected, and a switch by a frame."""

import asyncio
import os

from piopiy.adapters.schemas.function_schema import FunctionSchema
from piopiy.agent import Agent
from piopiy.frames.frames import ManuallySwitchServiceFrame
from piopiy.pipeline.service_switcher import ServiceSwitcher, ServiceSwitcherStrategyManual
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.llm_service import FunctionCallParams
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.voice_agent import VoiceAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(instructions="You hear in two ways.", greeting="Good day!")
    first = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    second = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    stt = ServiceSwitcher([first, second], ServiceSwitcherStrategyManual)

    async def other_ears(params: FunctionCallParams):
        await voice_agent.pipeline["transport_in"].queue_frame(ManuallySwitchServiceFrame(service=second))
        await params.result_callback("done")

    schema = FunctionSchema(name="other_ears", description="Hear otherwise.", properties={}, required=[])
    voice_agent.add_tool(schema, other_ears)
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
