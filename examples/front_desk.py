"""A restaurant's front desk, the bot that `make run` starts.

It greets, takes a booking, corrects it when the caller changes their mind, tells the opening hours,
puts those through who ask for a human, says goodbye and hangs up. Without keys it hears, thinks and
speaks offline, and what thinks is a playbook (front_desk.yaml), no language model; with
OPENAI_API_KEY or LLM_BASE_URL it is one.

    piopiy dev examples/front_desk.py
    FRONT_DESK_HUMAN=+4930123456 piopiy dev examples/front_desk.py   # where the humans are
    piopiy call --say "A table for four on Friday at seven, please."
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from pipecat.services.llm_service import FunctionCallParams

from piopiy.agent import Agent
from piopiy.tools import transfer_call
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("front_desk.yaml")
HUMAN = os.getenv("FRONT_DESK_HUMAN", "human")  # a number, or a name that the gateway knows
BOOKINGS = Path(os.getenv("BOOKINGS", "bookings.jsonl"))

INSTRUCTIONS = """You are the front desk of the restaurant Olive and Thyme, on the telephone.
You take bookings: ask for what is missing of the number of people, the day and the time, repeat them,
and call book_table once the caller has agreed. When they change their mind later, call it again.
We are open from Tuesday to Sunday, from noon to ten in the evening, and closed on Mondays.
Whoever asks for a human is transferred with transfer_call.
Answer in one or two short sentences, as people speak. When the caller is done, say goodbye and
call hang_up."""


def store(booking: dict[str, object]) -> None:
    """Append a booking; the last line of a call is the one that counts."""
    with BOOKINGS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(booking) + "\n")


async def on_new_session(
    agent_id: str,
    call_id: str,
    from_number: str | None,
    to_number: str | None,
    metadata: dict[str, object] | None = None,
) -> None:
    async def book_table(params: FunctionCallParams, people: int, day: str, time: str) -> None:
        """Book a table, or change the booking of this call.

        Args:
            people: How many people will come.
            day: The day, such as "Friday" or "tomorrow".
            time: The time of day, such as "19:00".
        """
        booking = {"people": people, "day": day, "time": time}
        at = datetime.now(UTC).isoformat(timespec="seconds")
        await asyncio.to_thread(store, {"call_id": call_id, "from": from_number, "at": at, **booking})
        await params.result_callback({"booked": True, **booking})

    async def hang_up(params: FunctionCallParams) -> None:
        """End the call, after the caller has said goodbye."""
        await voice_agent.hangup()
        await params.result_callback({"goodbye": True})

    voice_agent = VoiceAgent(
        instructions=INSTRUCTIONS,
        tools=[book_table, hang_up, transfer_call(to=HUMAN, when="the caller asks for a human")],
        greeting="Olive and Thyme, good day. How can I help you?",
    )
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main() -> None:
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "front_desk"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
