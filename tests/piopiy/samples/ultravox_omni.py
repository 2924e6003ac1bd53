"""A model that hears, of a server of one's own, with a voice."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.services.cartesia.tts import CartesiaTTSService
from piopiy.services.opensource.ultravox.omni import UltravoxService
from piopiy.speech_agent import SpeechAgent


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    speech_agent = SpeechAgent(instructions="You are brief.", greeting="Good day!")
    await speech_agent.Action(omni=UltravoxService(), tts=CartesiaTTSService(api_key="key"))
    await speech_agent.start()


async def main():
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"),
        agent_token=os.getenv("AGENT_TOKEN"),
        create_session=create_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
