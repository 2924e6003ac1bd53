"""A bot whose model hears and speaks itself: no STT, no TTS, one service.

    OPENAI_API_KEY=... piopiy dev examples/speech_to_speech.py

Without a key the model is a server of the tests on this machine: it speaks OpenAI's protocol, says what its script has,
and sounds like a row of tones.
"""

import asyncio
import os

from pipecat.services.llm_service import FunctionCallParams
from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.testing import OpenAIRealtimeServer, Replies

SCRIPT = Replies(
    "For how many people, and when?", "It is booked. Goodbye.", otherwise="Is there anything else?"
)


async def on_new_session(call_id: str) -> None:
    async def book_table(params: FunctionCallParams, people: int, day: str, time: str) -> None:
        """Book a table for so many people, on a day, at a time."""
        print(f"{call_id}: {people} people, {day}, {time}", flush=True)
        await params.result_callback({"booked": True})

    async def hang_up(params: FunctionCallParams) -> None:
        """End the call, after the caller has said goodbye."""
        await voice_agent.hangup()
        await params.result_callback({"goodbye": True})

    voice_agent = VoiceAgent(
        instructions="You take bookings for a restaurant: people, day, time. Be brief.",
        greeting="Olive and Thyme, good day. How can I help you?",
        tools=[book_table, hang_up],
    )
    voice_agent.on("user_turn", lambda turn: print("caller:", turn.text, flush=True))
    voice_agent.on("bot_turn", lambda turn: print("bot:", turn.text, flush=True))
    if key := os.getenv("OPENAI_API_KEY"):
        await voice_agent.Action(llm=OpenAIRealtimeLLMService(api_key=key))
        await voice_agent.start()
        return
    async with OpenAIRealtimeServer(SCRIPT) as server:
        await voice_agent.Action(llm=OpenAIRealtimeLLMService(api_key="none", base_url=server.url))
        await voice_agent.start()


async def main() -> None:
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"), agent_token=os.getenv("AGENT_TOKEN"), create_session=on_new_session
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
