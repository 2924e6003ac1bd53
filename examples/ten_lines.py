"""The front desk in ten lines, as Piopiy's documentation writes a bot.

piopiy dev examples/ten_lines.py
"""

import asyncio
import os
from pathlib import Path

from piopiy.agent import Agent
from piopiy.tools import transfer_call
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("front_desk.yaml")


async def on_new_session(agent_id, call_id, from_number, to_number, metadata=None):
    async def book_table(params, people: int, day: str, time: str):
        """Book a table for so many people, on a day, at a time."""
        print(f"{call_id}: {people} people, {day}, {time}", flush=True)
        await params.result_callback({"booked": True, "people": people, "day": day, "time": time})

    async def hang_up(params):
        """End the call, after the caller has said goodbye."""
        await voice_agent.hangup()
        await params.result_callback({"goodbye": True})

    voice_agent = VoiceAgent(
        instructions="You take bookings for a restaurant: people, day, time. Be brief.",
        greeting="Olive and Thyme, good day. How can I help you?",
        tools=[book_table, hang_up, transfer_call(to="human")],  # a name that the gateway knows, or a number
    )
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main():
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"), agent_token=os.getenv("AGENT_TOKEN"), create_session=on_new_session
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
