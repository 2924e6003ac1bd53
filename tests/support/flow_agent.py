"""An agent whose calls are led by the booking flow, and handed over, for tests that kill it between two nodes.

As a program (``python -m tests.support.flow_agent``) it is an agent in a process of its own. Callers press keys for a
turn: what a digit means depends on the node. What it tells goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline import testing
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.tools import Persona, hand_off_call
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.chaos_agent import OwnToneTTS, tell
from tests.support.flow_calls import (
    FLOW,
    book,
    find_booking,
    set_people,
    set_time,
    tools_of,
)
from tests.support.services import ScriptedSTT

__all__ = ["book", "create_session", "find_booking", "set_people", "set_time"]

BILLING = Persona(name="billing", instructions="Billing", tools=[hand_off_call({"desk": None})])


def _wanted(digits: str, tools: set[str]) -> testing.Tool | None:
    if digits == "9":
        return testing.Tool("hand_off_call", to="billing")
    if digits == "8":
        return testing.Tool("hand_off_call", to="desk")
    wishes = {
        "wants_to_book": testing.Tool("wants_to_book"),
        "set_people": testing.Tool("set_people", people=int(digits)),
        "set_time": testing.Tool("set_time", day="Friday", time="seven"),
        "book": testing.Tool("book"),
    }
    return next((tool for name, tool in wishes.items() if name in tools), None)


def _answer(context: LLMContext) -> str | testing.Tool:
    messages: list[Any] = [message for message in context.get_messages() if isinstance(message, dict)]
    tell(event="asked", system=messages[0]["content"], tools=sorted(tools_of(context)))
    last = messages[-1]
    if last["role"] == "user" and (wanted := _wanted(str(last["content"]), tools_of(context))):
        return wanted
    tasks = [str(message["content"]) for message in messages if message["role"] == "developer"]
    return next(task for task in reversed(tasks) if not task.startswith(("The line", "{")))


async def create_session(call: Call) -> None:
    """Book a table, step by step."""
    agent = VoiceAgent(
        instructions="Desk",
        call=call,
        flow=FLOW,
        tools=[hand_off_call({"billing": BILLING})],
        filler=None,
        idle=False,
        dtmf="text",
    )
    await agent.Action(
        stt=ScriptedSTT([]),
        llm=testing.ScriptedLLM(testing.Replies(otherwise=_answer)),
        tts=OwnToneTTS(float(os.environ["TONE_HZ"])),
    )
    agent.on("flow", lambda step: tell(event="flow", node=step.node))
    agent.on("hand_off", lambda change: tell(event="hand_off", agent=change.agent))
    agent.on("bot_turn", lambda turn: tell(event="bot_turn", text=turn.text))
    agent.on("answered", lambda _: tell(event="answered", resumed=call.resumed is not None))
    agent.on("error", lambda error: tell(event="error", message=error.message))
    end = await agent.start()
    tell(event="end", reason=end.reason)


async def _main() -> None:
    agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session)
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
