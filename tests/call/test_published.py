"""Piopiy's published code, word for word, as a program of its own.

In real time, because a program is a process of its own that connects to a gateway and is sent a signal.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from piopiy_pipeline.call import EndReason
from tests.support.agents import apart

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("either_bot")]

PUBLISHED = """\
import asyncio, os
from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent

async def on_new_session(agent_id, call_id, from_number, to_number, metadata=None):
    voice_agent = VoiceAgent(instructions="You are an advanced voice AI.",
                             greeting="Hello! How can I help you today?")
    # stt, llm and tts: any pipecat services
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()

async def main():
    agent = Agent(agent_id=os.getenv("AGENT_ID"), agent_token=os.getenv("AGENT_TOKEN"),
                  create_session=on_new_session)
    await agent.connect()

asyncio.run(main())
"""

SERVICES = """\
from tests.support.bot_kinds import use_bot_of_test
from tests.support.services import ScriptedLLM, ScriptedSTT, ToneTTS

stt, llm, tts = ScriptedSTT(["what time is it"]), ScriptedLLM(["It is late."]), ToneTTS()
use_bot_of_test()

"""


def test_the_published_code_answers_a_call_and_ends_at_sigterm(tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text(SERVICES + PUBLISHED)

    async def scenario() -> None:
        async with apart(arguments=[str(bot)]) as place:
            log = await place.call("hours/01-open.wav", hangup_after_s=2.0)
            assert log.reason is EndReason.CALLER_HANGUP
            assert log.texts("bot") == ["Hello! How can I help you today?", "It is late."]
            assert log.texts("user") == ["what time is it"]
            assert await place.process.terminate() == 0
            assert "Traceback" not in place.process.log

    asyncio.run(scenario())
