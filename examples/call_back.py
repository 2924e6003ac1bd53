"""Values that must be right, asked for by code: a telephone number, a day, an e-mail address, and a yes.

By voice or by keys, read back and corrected ("no, seven not six"). Questions in between go to the model. If the agent
is lost in mid-form, another one goes on in the same step (docs/collecting.md).

    piopiy dev examples/call_back.py
"""

import asyncio
import os
from pathlib import Path

from piopiy.agent import Agent
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline import Call
from piopiy_pipeline.collect import NotCollected, collect_date, collect_email, collect_phone_number, confirm
from piopiy_pipeline.services.providers import from_environment, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")


async def on_new_session(call: Call) -> None:
    voice_agent = VoiceAgent(instructions="You answer questions of callers of a restaurant. Be brief.")

    async def form(_: object) -> None:
        if call.resumed is None:
            await call.say("Olive and Thyme, good day. I will note that we call you back.")
        try:
            number = await collect_phone_number(call, prompt="What number can we reach you on?", region="US")
            day = await collect_date(call, prompt="On which day may we call?")
            email = None
            if (await confirm(call, "May we send you a confirmation by e-mail?")).value:
                email = await collect_email(call, prompt="What is your address? You can spell it.")
        except NotCollected as error:
            print(f"no call back: {error}", flush=True)
            await call.say("Then please call again. Goodbye.")
        else:
            print(f"call {number.value} on {day.value}, {email and email.value}", flush=True)
            await call.say(f"We will call you on {day.spoken}. Goodbye.")
        await call.hangup()

    voice_agent.on("answered", form)
    stt, llm, tts = from_environment(playbook=PLAYBOOK)
    await voice_agent.Action(stt=stt, llm=llm, tts=tts)
    await voice_agent.start()


async def main() -> None:
    await prepare(playbook=PLAYBOOK)  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "call_back"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    asyncio.run(main())
