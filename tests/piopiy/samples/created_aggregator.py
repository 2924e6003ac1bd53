"""A pipeline in the older manner: the model makes the aggregators, and its tools are OpenAI's tables."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.audio.vad.silero import SileroVADAnalyzer
from piopiy.frames.frames import TTSSpeakFrame
from piopiy.pipeline.pipeline import Pipeline
from piopiy.pipeline.runner import PipelineRunner
from piopiy.pipeline.task import PipelineTask
from piopiy.processors.aggregators.openai_llm_context import OpenAILLMContext
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.transports.services.telecmi import TelecmiParams, TelecmiTransport

TOOL = {
    "type": "function",
    "function": {
        "name": "in_stock",
        "description": "What there is today.",
        "parameters": {
            "type": "object",
            "properties": {"flower": {"type": "string"}},
            "required": ["flower"],
        },
    },
}


async def in_stock(params):
    await params.result_callback({"there": params.arguments["flower"]})


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    transport = TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer()))
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    llm.register_function("in_stock", in_stock)
    messages = [{"role": "system", "content": "You answer the telephone of a flower shop."}]
    context = OpenAILLMContext(messages, tools=[TOOL])
    aggregators = llm.create_context_aggregator(context)
    pipeline = Pipeline(
        [transport.input(), stt, aggregators.user(), llm, tts, transport.output(), aggregators.assistant()]
    )
    task = PipelineTask(pipeline)

    @transport.event_handler("on_first_participant_joined")
    async def greet(transport, participant_id):
        await task.queue_frames([TTSSpeakFrame("Flowers, good day!")])

    await PipelineRunner().run(task)


async def main():
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"),
        agent_token=os.getenv("AGENT_TOKEN"),
        create_session=create_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
