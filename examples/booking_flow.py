"""A booking that goes from step to step: a flow of six nodes in a YAML file, with its functions here.

The file says which step follows which, the functions do the work, and a model (OPENAI_API_KEY or LLM_BASE_URL)
finds the words. An agent that is killed leaves the caller in the same step, with everything that was collected.

    OPENAI_API_KEY=... piopiy dev examples/booking_flow.py
    piopiy flow examples/booking_flow.yaml --bot examples/booking_flow.py     # its steps
"""

import asyncio
import os
from typing import Any

from pipecat.flows import TRANSITION_IN_YAML, FlowManager

from piopiy.agent import Agent
from piopiy.tools import tool
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

MOST_PEOPLE = 8
BOOKINGS: dict[str, tuple[int, str]] = {"4711": (2, "Friday at seven")}


async def find_booking(flow_manager: FlowManager, number: str) -> tuple[Any, Any]:
    """Find a booking that was made before.

    Args:
        number: The number of the booking.
    """
    booking = BOOKINGS.get(number)
    if booking is not None:
        flow_manager.state["number"] = number
        flow_manager.state["people"], flow_manager.state["when"] = booking
    return {"found": booking is not None}, TRANSITION_IN_YAML


async def set_people(flow_manager: FlowManager, people: int) -> tuple[Any, Any]:
    """Take down how many people will come.

    Args:
        people: How many people.
    """
    flow_manager.state["people"] = people
    return {"status": "ok" if people <= MOST_PEOPLE else "too_many"}, TRANSITION_IN_YAML


@tool(idempotent=True)
async def set_time(flow_manager: FlowManager, day: str, time: str) -> tuple[Any, Any]:
    """Take down the day and the time, and see whether a table is free.

    Args:
        day: The day, such as "Friday".
        time: The time of day, such as "seven".
    """
    flow_manager.state["when"] = f"{day} at {time}"
    return {"free": "monday" not in day.lower()}, TRANSITION_IN_YAML


async def book(flow_manager: FlowManager) -> tuple[Any, Any]:
    """Book the table, or change the booking that was found, because the caller has agreed to it."""
    state = flow_manager.state
    number = state.get("number") or str(4711 + len(BOOKINGS))
    BOOKINGS[number] = state["people"], state["when"]
    return {"booked": True}, TRANSITION_IN_YAML


async def on_new_session(agent_id: str, call_id: str, from_number: str | None, to_number: str | None) -> None:
    voice_agent = VoiceAgent(
        instructions="You are the front desk of the restaurant Olive and Thyme, on the telephone. Be brief.",
        greeting="Olive and Thyme, good day.",
        flow="booking_flow.yaml",
    )
    stt, llm, tts = from_environment()
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main() -> None:
    await prepare()
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "booking_flow"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
