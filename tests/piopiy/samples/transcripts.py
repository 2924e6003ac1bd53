"""A transcript by a stage that pipecat does not have any more."""

import asyncio
import os

from piopiy.agent import Agent
from piopiy.processors.transcript_processor import TranscriptProcessor


async def create_session(agent_id, call_id, from_number, to_number, metadata=None):
    assert TranscriptProcessor()


async def main():
    agent = Agent(
        agent_id=os.getenv("AGENT_ID"),
        agent_token=os.getenv("AGENT_TOKEN"),
        create_session=create_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
