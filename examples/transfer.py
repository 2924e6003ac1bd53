"""A receptionist that hands the caller to a human: by a key, or because the model decides so.

The caller goes on talking to the bot while it rings at the other end (a warm transfer). When nobody
answers, the bot says so and the conversation goes on. Where a caller may be sent is decided here, in
code: a model does what a caller talks it into.

    piopiy dev examples/transfer.py                    # press 1 or 2, or say "I want to speak to a human"
    piopiy dev --phone 5060 examples/transfer.py       # and with phones that can really ring
    SALES=sip:200@127.0.0.1:5070 piopiy dev --phone 5060 examples/transfer.py
"""

import asyncio
import os
from pathlib import Path

from piopiy.agent import Agent
from piopiy.tools import end_call, transfer_call
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("transfer.yaml")
DESTINATIONS = {
    "sales": os.getenv("SALES", "+4930123457"),
    "billing": os.getenv("BILLING", "+4930123456"),
}
KEYS = {"1": "sales", "2": "billing"}


async def on_new_session(call_id: str, from_number: str | None) -> None:
    voice_agent = VoiceAgent(
        instructions="You are a receptionist. Find out what the caller wants, and transfer them.",
        greeting="Good day. Press one for sales, two for billing, or tell me what you need.",
        tools=[
            transfer_call(destinations=DESTINATIONS, when="the caller asks for sales, billing or a human"),
            end_call(goodbye="Thank you for calling. Goodbye!"),
        ],
    )

    calling = ""

    async def on_key(digits: str) -> None:
        nonlocal calling
        department = KEYS.get(digits)
        if calling:  # handlers do not wait for each other: this key comes while another one's transfer rings
            await voice_agent.say(f"I am calling {calling} already. Please hold the line.")
            return
        if department is None:
            await voice_agent.say("Please press one or two.")
            return
        calling = department
        await voice_agent.say(f"I am calling {department}. Please hold the line.")
        outcome = await voice_agent.transfer(
            DESTINATIONS[department],
            summary=f"{from_number or 'Somebody'} pressed {digits}",  # the human's phone gets it as a SIP header
            ring_timeout_s=20,
        )
        calling = ""
        if not outcome.bridged:  # the caller is still here: never leave them alone
            await voice_agent.say(f"{department} does not answer just now. What else can I do?")

    voice_agent.on("dtmf", on_key)
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main() -> None:
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "transfer"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
