"""The program of `test_moved_address`, which runs in a network of its own: a gateway's address that moves under a call.

Gateway A listens at an address of its own, as one that keepalived gives to one of two machines. A phone talks to a bot
whose agent is at home at gateway B. A is killed with signal 9, the address is taken away and given again, and a second
process with A's settings is started. The last line of the output says what has happened, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from tests.support.baresip import Baresip, baresip
from tests.support.calls import AGENT_ID, eventually
from tests.support.chaos import ChaosAgent
from tests.support.cluster_processes import GatewayOfMany
from tests.support.nats_server import NatsServer

PATIENCE_S = 40.0
MOVES = "10.77.0.1"
SIP = f"""[sip]
host = "{MOVES}"
port = 5060
callers = "anyone"
default_agent = "{AGENT_ID}"
"""


def address(action: str) -> None:
    subprocess.run(["ip", "address", action, f"{MOVES}/32", "dev", "lo"], check=True)


def recorded(phone: Baresip) -> int:
    """How many bytes the phone has recorded of what it hears: nothing is recorded while no sound comes."""
    return sum(path.stat().st_size for path in phone.folder.glob("dump-*-dec.wav"))


async def heard_again(phone: Baresip) -> float:
    """Wait until a quarter of a second more of sound has come; returns how long that took, in seconds."""
    began, before = asyncio.get_running_loop().time(), recorded(phone)
    await eventually(lambda: recorded(phone) > before + 4000, PATIENCE_S)
    return asyncio.get_running_loop().time() - began


async def story(stack: AsyncExitStack, transport: str) -> dict[str, Any]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    address("add")
    nats = NatsServer("-js", "-sd", str(folder / "js"))
    await nats.start()
    stack.push_async_callback(nats.kill)
    b = GatewayOfMany("b", "127.0.0.3")
    first = GatewayOfMany("a", MOVES, SIP)
    for gateway in (b, first):
        await gateway.start(folder, nats.url)
        assert gateway.process is not None
        stack.push_async_callback(gateway.process.close)
    agent = await ChaosAgent.start(
        b.url,
        arguments=("-m", "tests.support.chaos_agent"),
        capacity=5,
        environment={"TONE_HZ": "500"},
    )
    stack.push_async_callback(agent.close)
    await eventually(lambda: b.at_home() == 1, PATIENCE_S)
    phone = await stack.enter_async_context(
        baresip(f"<sip:caller@127.0.0.1;transport={transport}>;regint=0", transport=transport)
    )
    await phone.dial(f"sip:100@{MOVES}:5060;transport={transport}")
    await heard_again(phone)
    # The first of what the bot says is over, and a checkpoint of it is there.
    await asyncio.sleep(5)
    loop = asyncio.get_running_loop()
    first.kill()
    killed_at = loop.time()
    address("del")
    assert first.process is not None
    await first.process.process.wait()
    before = recorded(phone)
    address("add")
    second = GatewayOfMany("a", MOVES, SIP)
    second.port = first.port
    await second.start(folder, nats.url)
    assert second.process is not None
    stack.push_async_callback(second.process.close)
    started_s = loop.time() - killed_at
    await eventually(lambda: recorded(phone) > before + 4000, PATIENCE_S)
    again_s = loop.time() - killed_at
    await heard_again(phone)
    await asyncio.sleep(1)
    closed = [one for one in phone.events if one["type"] == "CALL_CLOSED"]
    ended_before = len(agent.told("end"))
    await phone.hang_up()
    await eventually(lambda: len(agent.told("end")) > ended_before, PATIENCE_S)
    return {
        "second_process_listens_s": round(started_s, 2),
        "heard_again_s": round(again_s, 2),
        "phone_lost_its_call": len(closed),
        "times_begun": agent.told("begins_call")[-1]["times"],
        "last_end": agent.told("end")[-1]["reason"],
        "goes_on": "1 telephone calls of the process before this one go on here" in second.log,
    }


async def run() -> None:
    async with AsyncExitStack() as stack:
        print(json.dumps(await story(stack, sys.argv[1])))


if __name__ == "__main__":
    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(1)
