"""An agent that collects a PIN and a telephone number, in a process of its own, for tests that kill it.

As a program: ``python -m tests.support.collecting_agent``. What it tells goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import os

from piopiy_pipeline import testing
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.collect import collect_digits, collect_phone_number
from piopiy_pipeline.session import Call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.chaos_agent import OwnToneTTS, tell
from tests.support.services import ScriptedSTT

__all__ = ["create_session"]


async def create_session(call: Call) -> None:
    """Collect both, and tell them."""
    agent = VoiceAgent(instructions="Be brief.", call=call, filler=None)

    async def form(_: object) -> None:
        pin = await collect_digits(call, prompt="Your PIN?", length=4)
        number = await collect_phone_number(call, prompt="Your number?", region="DE")
        tell(
            event="form", pin=pin.value, number=number.value, how=number.how, resumed=call.resumed is not None
        )

    agent.on("answered", form)
    agent.on("bot_turn", lambda turn: tell(event="bot_turn", text=turn.text))
    agent.on("collection", lambda event: tell(event="collection", name=event.name, outcome=event.outcome))
    agent.on("dtmf", lambda keys: tell(event="keys", keys=keys))
    model = testing.ScriptedLLM(testing.Replies(otherwise="Yes?"))
    await agent.Action(stt=ScriptedSTT([]), llm=model, tts=OwnToneTTS(float(os.environ["TONE_HZ"])))
    await agent.start()


async def _main() -> None:
    agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session)
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
