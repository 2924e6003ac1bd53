"""A call that goes out: the gateway dials, and a bot talks to whoever picks up.

The file is both halves: the bot, which finds what it is to say in `metadata`, and the order, which any
program may give over HTTP. `piopiy dev` asks programs of this machine for no API key.

    piopiy dev --phone 5060 examples/outbound_call.py
    python examples/outbound_call.py sip:200@127.0.0.1:5070 --name Ann --when "Friday at seven"

The second command prints the call's record when the call is over, and exits with 0 if somebody picked up.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from piopiy.agent import Agent
from piopiy.tools import end_call
from piopiy.voice_agent import VoiceAgent
from piopiy_pipeline.services.providers import build, chosen, prepare

PLAYBOOK = Path(__file__).with_name("opening_hours.yaml")
BOOKING: dict[str, Any] = {
    "name": "there",
    "when": "Friday at seven",
}  # what nobody has ordered, as from the page


async def on_new_session(call_id: str, to_number: str | None, metadata: dict[str, Any] | None = None) -> None:
    """Remind somebody of their booking."""
    booking = BOOKING | (metadata or {})
    reminder = f"Hello {booking['name']}. This is Olive and Thyme. Your table is for {booking['when']}."
    voice_agent = VoiceAgent(instructions="", greeting=None, tools=[end_call()])

    async def answered(_: object) -> None:
        heard = await voice_agent.say(f"{reminder} We look forward to seeing you. Goodbye.")
        print(f"{to_number}: the reminder was {'heard' if heard else 'cut short'}", flush=True)
        await voice_agent.hangup()

    voice_agent.on("answered", answered)
    await voice_agent.Action(
        stt=build("stt", chosen("stt")),
        llm=build("llm", chosen("llm"), playbook=PLAYBOOK),
        tts=build("tts", chosen("tts")),
    )
    await voice_agent.start()


def order(gateway: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One request to the gateway's HTTP API. Raises `SystemExit` with what the gateway says is wrong."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    if key := os.getenv("PIOPIY_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{gateway}{path}", data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answered: dict[str, Any] = json.load(answer)
            return answered
    except urllib.error.HTTPError as error:
        sys.exit(f"the gateway refuses: {json.load(error).get('error')}")
    except OSError as error:
        sys.exit(f"{gateway}: {error}: is `piopiy dev --phone 5060 examples/outbound_call.py` running?")


def dial() -> None:
    """Order the call, and follow it to its end."""
    parser = argparse.ArgumentParser(description="Have the gateway call somebody.")
    parser.add_argument("to", help="a number, a registered phone, or a sip: URI")
    parser.add_argument("--name", default=BOOKING["name"])
    parser.add_argument("--when", default=BOOKING["when"])
    parser.add_argument("--gateway", default="http://127.0.0.1:7860")
    parser.add_argument("--agent", default="outbound_call")
    options = parser.parse_args()
    metadata = {"name": options.name, "when": options.when}
    call = order(
        options.gateway, "/api/calls", {"agent_id": options.agent, "to": options.to, "metadata": metadata}
    )
    while call["phase"] != "ended":  # a webhook (docs/api.md) tells a server of it without asking
        time.sleep(0.5)
        call = order(options.gateway, f"/api/calls/{call['call_id']}")["call"]
    print(json.dumps({key: call[key] for key in ("call_id", "reason", "detail", "duration_s")}, indent=2))
    sys.exit(0 if call["answered_at"] else 1)


async def main() -> None:
    await prepare()  # so that the first caller does not wait for the models
    agent = Agent(
        agent_id=os.getenv("AGENT_ID", "outbound_call"),
        agent_token=os.getenv("AGENT_TOKEN", ""),
        create_session=on_new_session,
    )
    await agent.connect()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        dial()
    else:
        asyncio.run(main())
