"""A stage that waits for the interruption frame of 0.6.1."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.audio.vad.silero import SileroVADAnalyzer
from piopiy.frames.frames import Frame, StartInterruptionFrame, TTSSpeakFrame
from piopiy.pipeline.pipeline import Pipeline
from piopiy.pipeline.runner import PipelineRunner
from piopiy.pipeline.task import PipelineParams, PipelineTask
from piopiy.processors.aggregators.llm_context import LLMContext
from piopiy.processors.aggregators.llm_response_universal import LLMContextAggregatorPair
from piopiy.processors.frame_processor import FrameDirection, FrameProcessor
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.deepgram.stt import DeepgramSTTService
from piopiy.services.openai.llm import OpenAILLMService
from piopiy.transports.services.telecmi import TelecmiParams, TelecmiTransport


class Interruptions(FrameProcessor):
    def __init__(self):
        super().__init__()
        self.count = 0

    async def process_frame(self, frame: Frame, direction: FrameDirection):
        await super().process_frame(frame, direction)
        self.count += isinstance(frame, StartInterruptionFrame)
        await self.push_frame(frame, direction)


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    transport = TelecmiTransport(params=TelecmiParams(vad_analyzer=SileroVADAnalyzer()))
    stt = DeepgramSTTService(api_key=os.getenv("DEEPGRAM_API_KEY"))
    llm = OpenAILLMService(api_key=os.getenv("OPENAI_API_KEY"))
    tts = CartesiaTTSService(api_key=os.getenv("CARTESIA_API_KEY"))
    context = LLMContext([{"role": "system", "content": "You answer the telephone of a flower shop."}])
    pair = LLMContextAggregatorPair(context)
    pipeline = Pipeline(
        [transport.input(), stt, pair.user(), llm, tts, Interruptions(), transport.output(), pair.assistant()]
    )
    task = PipelineTask(pipeline, params=PipelineParams(enable_metrics=True))
    await task.queue_frame(TTSSpeakFrame("Flowers, good day!"))
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
