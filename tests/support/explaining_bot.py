"""The bot of `tests/browser/test_difficult_callers_browser.py`: it asks for a number, and explains at length twice.

`piopiy dev` runs this file.
"""

from __future__ import annotations

import asyncio
import os

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.services.providers import build, chosen, prepare
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing import Replies, ScriptedLLM
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.difficult_callers import EXPLANATION, PAUSING, plain


def answer(context: LLMContext) -> str:
    """Explain, until the caller wants it to stop."""
    return "Of course." if "wait" in plain(str(context.get_messages()[-1])) else EXPLANATION


async def create_session(call: Call) -> None:
    """Serve one call."""
    agent = VoiceAgent(instructions="Be brief.", greeting=PAUSING["number"].question, call=call)
    llm = ScriptedLLM(Replies(otherwise=answer))
    await agent.Action(stt=build("stt", chosen("stt")), llm=llm, tts=build("tts", chosen("tts")))
    await agent.start()


async def main() -> None:
    """Take calls."""
    await prepare()
    await Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session).connect()


if __name__ == "__main__":
    asyncio.run(main())
