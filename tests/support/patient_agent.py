"""An agent whose callers talk with it in turns, for tests that drain it. It answers with what it remembers.

As a program (``python -m tests.support.patient_agent``) it is an agent in a process of its own. How it drains is
in its environment. Callers press a key for a turn, and each answer is a tone of the instance's own pitch.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline import testing
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.chaos_agent import OwnToneTTS, tell
from tests.support.services import ScriptedSTT

__all__ = ["create_session"]


def _answer(context: LLMContext) -> str:
    messages: list[Any] = context.get_messages()
    return f"You have spoken {sum(message.get('role') == 'user' for message in messages)} times"


async def create_session(call: Call, metadata: dict[str, Any] | None) -> None:
    """Say hello, and then at each turn how many turns there were."""
    agent = VoiceAgent(
        instructions="Be brief.", call=call, greeting="Hello.", filler=None, idle=False, dtmf="text"
    )
    await agent.Action(
        stt=ScriptedSTT([]),
        llm=testing.ScriptedLLM(testing.Replies(otherwise=_answer)),
        tts=OwnToneTTS(float(os.environ["TONE_HZ"])),
    )
    call_id = call.info.call_id
    agent.on("answered", lambda _: tell(event="answered", call_id=call_id, at=time.time()))
    agent.on("bot_turn", lambda turn: tell(event="bot_turn", call_id=call_id, text=turn.text))
    end = await agent.start()
    tell(event="end", call_id=call_id, reason=end.reason, detail=end.detail, at=time.time())


async def _main() -> None:
    agent = Agent(
        os.environ["AGENT_ID"],
        os.environ["AGENT_TOKEN"],
        create_session,
        capacity=int(os.environ["CAPACITY"]),
    )
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()
    tell(event="gone")


if __name__ == "__main__":
    asyncio.run(_main())
