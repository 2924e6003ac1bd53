"""An agent that books a table at a server which counts, for tests that kill it at any point of the tool's life.

As a program (``python -m tests.support.booking_agent``) it is an agent in a process of its own. Nobody has to speak:
the caller's wish is in the conversation from the start. What it tells goes to stdout, one JSON object a line.
"""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

from pipecat.processors.aggregators.llm_context import LLMContext

from piopiy_pipeline import testing
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.session import Call
from piopiy_pipeline.testing.scripted.faults import Fault
from piopiy_pipeline.tools import ToolParams, tool
from piopiy_pipeline.voice_agent import VoiceAgent
from tests.support.chaos_agent import OwnToneTTS, tell
from tests.support.services import ScriptedSTT

__all__ = ["ASKS", "CONFIRMS", "create_session"]

CONFIRMS = "Your table for four is booked, and we are all looking forward to seeing you on Friday at eight"
ASKS = "I do not know whether that has worked, shall I book the table again"


class BookingModel:
    """Books when it is asked to. One that is `stubborn` books again whatever it is told of a lost run."""

    def __init__(self, call: Call, *, stubborn: bool, stalls: bool) -> None:
        self._call = call
        self._stubborn = stubborn
        self._stalls = stalls and call.resumed is None

    def __call__(self, context: LLMContext) -> str | testing.Tool | Fault:
        messages: list[Any] = context.get_messages()
        tell(event="asked", messages=messages)
        results = [str(message["content"]) for message in messages if message.get("role") == "tool"]
        if any('"booked"' in result for result in results):
            if self._stalls:
                return testing.Stalls()
            return CONFIRMS
        if not results or (self._stubborn and "Not run" not in results[-1]):
            return testing.Tool("book_table", people=4)
        return ASKS


async def book_at_server(params: ToolParams, people: int) -> dict[str, Any]:
    """Book a table.

    Args:
        people: How many will come.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["BOOKING_PORT"]))
    writer.write(json.dumps({"key": params.idempotency_key, "people": people}).encode() + b"\n")
    answer: dict[str, Any] = json.loads(await reader.readline())
    writer.close()
    return answer


async def create_session(call: Call, metadata: dict[str, Any]) -> None:
    """Book the table. ``{"idempotent": bool, "stubborn": bool, "stalls": bool}``."""

    @tool(idempotent=metadata["idempotent"])
    async def book_table(params: ToolParams, people: int) -> dict[str, Any]:
        """Book a table."""
        return await book_at_server(params, people)

    agent = VoiceAgent(
        instructions="Be brief.",
        call=call,
        tools=[book_table],
        initial_messages=[{"role": "user", "content": "a table for four"}],
        filler=None,
    )
    model = BookingModel(call, stubborn=metadata["stubborn"], stalls=metadata["stalls"])
    await agent.Action(
        stt=ScriptedSTT([]),
        llm=testing.ScriptedLLM(testing.Replies(otherwise=model)),
        tts=OwnToneTTS(float(os.environ["TONE_HZ"])),
    )
    if call.resumed is None:
        agent.on("answered", lambda _: call.respond())
    agent.on("bot_turn", lambda turn: tell(event="bot_turn", text=turn.text))
    await agent.start()


async def _main() -> None:
    agent = Agent(os.environ["AGENT_ID"], os.environ["AGENT_TOKEN"], create_session)
    tell(event="begins", instance_id=agent.instance_id)
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(_main())
