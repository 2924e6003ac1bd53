"""The program of `test_cloud`, which runs in a network of its own: calls of Piopiy's cloud at a real gateway.

A fake of the cloud is a process of its own, with LiveKit rooms; the client in the rooms is LiveKit's real one. Each
story returns what was seen, and the last line of the output is that, as JSON. WebRTC does not use loopback, which is
why there is a pair of virtual cables with an address.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.audio.playout import Playout
from piopiy_pipeline.call import CallEnd
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.cloud.config import CloudConfig
from piopiy_pipeline.session import Call
from tests.cloud.cloud_peer import CLOUD_TOKEN, CloudPeer
from tests.support.agents import AgentProcess
from tests.support.alone import ADDRESS
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, SETTINGS, TOKEN, eventually
from tests.support.services import ToneTTS

SPEECH = str(Path(__file__).parent.parent / "audio" / "barge_in" / "02-interrupt.wav")
STARTS_S = 30.0
PATIENT_MS = 8000
"""What jobs have of time where the time is not what is looked at. The cloud gives 400 ms."""


class Place:
    """A cloud, a gateway, and what its bot has seen."""

    def __init__(self, cloud: CloudPeer, gateway: Gateway) -> None:
        self.cloud = cloud
        self.gateway = gateway
        self.calls: list[Call] = []
        self.ends: list[CallEnd] = []
        self.keys: list[str] = []
        self.outcomes: list[tuple[str, str]] = []
        # Without a limit by load: what else this machine does is none of a story's business.
        self.agent = Agent(AGENT_ID, TOKEN, self.bot, signaling_url=gateway.url, load_threshold=1)

    async def bot(self, call: Call) -> None:
        """Do what the variables of the call say."""
        told = call.info.metadata or {}
        self.calls.append(call)
        if "slow_s" in told:
            await asyncio.sleep(float(told["slow_s"]))
        if "fails" in told:
            raise LookupError("no such customer")
        greeting = told.get("greeting", LONG)
        agent = await voice(call, greeting=greeting, texts=["a table please"], tts=ToneTTS(words=True))
        call.on("dtmf", self.keys.append)

        async def act(_: object) -> None:
            if "hangs_up" in told:
                await call.hangup()
            if "presses" in told:
                await call.send_dtmf(told["presses"], at_once=True)
            if "transfers" in told:
                warm = told.get("warm", "yes") == "yes"
                outcome = await call.transfer(told["transfers"], warm=warm, summary="a booking")
                self.outcomes.append((outcome.outcome, outcome.detail))

        call.on("answered", act)
        end = await agent.start()
        self.ends.append(end)

    async def takes(self, job: str, **variables: str) -> None:
        """Have the cloud offer a call, with patience for a busy machine, and wait until it is accepted."""
        await self.cloud.do("offer", job=job, variables=variables, deadline_ms=PATIENT_MS)
        await self.cloud.wait("accepted", job=job)

    async def ended(self, number: int) -> CallEnd:
        """Wait for the end of so many calls, and return the last one."""
        await eventually(lambda: len(self.ends) >= number, 20)
        return self.ends[number - 1]


@asynccontextmanager
async def place(*, agent: bool = True, **settings: Any) -> AsyncIterator[Place]:
    async with CloudPeer.start(ADDRESS) as cloud:
        cloud_settings = {
            "agent_id": AGENT_ID,
            "token": CLOUD_TOKEN,
            "address": cloud.ready["register"],
            "tls": False,
            "api_url": cloud.ready["api"],
        }
        config = GatewayConfig(
            agents={AGENT_ID: TOKEN}, port=0, **SETTINGS, cloud=CloudConfig(**{**cloud_settings, **settings})
        )
        async with Gateway(config) as gateway:
            here = Place(cloud, gateway)
            running = asyncio.create_task(here.agent.connect()) if agent else None
            try:
                if agent:
                    await gateway.wait_for_agent(AGENT_ID, STARTS_S)
                if agent:
                    await cloud.wait("register")
                yield here
            finally:
                if running is not None:
                    await here.agent.shutdown()
                    await running


async def whole_call() -> dict[str, Any]:
    """A call whose caller interrupts the greeting, presses a key, is muted, and leaves."""
    cleared_s: list[float] = []
    clear = Playout.clear

    def noted_clear(playout: Playout, epoch: int) -> int:
        position = clear(playout, epoch)
        cleared_s.append(position / playout.rate)
        return position

    async with place() as here:
        cloud = here.cloud
        await here.takes("one")
        patched = mock.patch.object(Playout, "clear", noted_clear)
        patched.start()
        before = await cloud.heard_until("one", 1.0)
        await cloud.do("play", job="one", wav=SPEECH)
        await eventually(lambda: any(turn.interrupted for turn in here.calls[0].transcript), 15)
        await asyncio.sleep(1.0)  # what was on its way
        heard = await cloud.heard("one")
        turn = next(turn for turn in here.calls[0].transcript if turn.interrupted)
        await cloud.do("press", job="one", digit="5")
        await eventually(lambda: here.keys, 10)
        await cloud.do("mute", job="one", on=True)
        await cloud.do("mute", job="one", on=False)
        info = here.calls[0].info
        await cloud.do("leave", job="one")
        end = await here.ended(1)
        await cloud.wait("completed", job="one")
        accepted = cloud.of("accepted", job="one")[0]
        return {
            "info": [info.call_id, info.from_number, info.to_number, info.metadata, info.kind],
            "join_ms": accepted["ms"],
            "identity": accepted["identity"],
            "before_s": before["loud_s"],
            "heard_s": heard["loud_s"],
            "cleared_s": cleared_s[0],
            "heard_text": turn.text,
            "keys": here.keys,
            "reason": end.reason,
            "rest": cloud.of("rest"),
            "left": len(cloud.of("left", room="one")),
        }


async def bot_acts() -> dict[str, Any]:
    """Calls in which the bot hangs up, presses keys, and transfers, with each outcome."""
    async with place() as here:
        cloud = here.cloud
        await here.takes("bye", hangs_up="yes", greeting="Good bye then.")
        hung_up = await here.ended(1)
        await cloud.wait("completed", job="bye")
        heard = await cloud.heard("bye")
        await here.takes("keys", presses="42")
        await cloud.wait("keys", room="keys", times=2)
        await cloud.do("delete", job="keys")
        deleted = await here.ended(2)
        await cloud.do("outcome", outcome={"status": "failed", "reason": "no_answer", "in_room": True})
        await here.takes("missed", transfers="+91 98765 43210")
        await eventually(lambda: len(here.outcomes) >= 1, 15)
        await cloud.do("leave", job="missed")
        await here.ended(3)
        await cloud.do("outcome", outcome={"status": "completed"})  # which is asked for
        await here.takes("warm", transfers="sip:desk@example.org")
        warm = await here.ended(4)
        await here.takes("cold", transfers="919876543210", warm="no")
        cold = await here.ended(5)
        await here.takes("wrong", transfers="front desk")
        await eventually(lambda: len(here.outcomes) >= 4, 15)
        await cloud.do("outcome", outcome={"refusal": "transfer_in_progress"})
        await here.takes("busy", transfers="919876543210")
        await eventually(lambda: len(here.outcomes) >= 5, 15)
        return {
            "hung_up": hung_up.reason,
            "heard_s": heard["loud_s"],
            "keys": [one["digit"] for one in cloud.of("keys", room="keys")],
            "deleted": [deleted.reason, deleted.detail],
            "outcomes": here.outcomes,
            "warm": warm.reason,
            "cold": cold.reason,
            "rest": [[one["call"], one["action"], one["body"]] for one in cloud.of("rest")],
        }


async def offers() -> dict[str, Any]:
    """Jobs that are turned down, come too late, or are withdrawn."""
    async with place(max_calls=2) as here:
        cloud = here.cloud
        await cloud.do("offer", job="slow", variables={"slow_s": "6"}, deadline_ms=3000)
        slow = await cloud.wait("rejected", job="slow")
        await cloud.do("offer", job="fails", variables={"fails": "yes"}, deadline_ms=PATIENT_MS)
        fails = await cloud.wait("rejected", job="fails")
        await cloud.do("offer", job="nowhere", url=f"ws://{ADDRESS}:9", deadline_ms=PATIENT_MS)
        nowhere = await cloud.wait("rejected", job="nowhere")
        for job in ("fails", "nowhere"):  # as long as their rooms are being left, they count
            await cloud.wait("completed", job=job)
        await here.takes("first")
        await cloud.do("offer", job="again", uuid="uuid-first")
        again = await cloud.wait("rejected", job="again")
        await here.takes("second")
        await cloud.do("offer", job="third")
        third = await cloud.wait("rejected", job="third")
        before = len(here.ends)  # of calls that were not accepted
        await cloud.do("cancel", job="first")
        await eventually(lambda: len(here.ends) > before, 15)
        await cloud.wait("left", room="first")
        await cloud.do("leave", job="second")
        await cloud.wait("completed", job="second")
        await here.agent.shutdown()
        await eventually(lambda: not here.gateway.switchboard.instances.of(AGENT_ID), 10)
        await cloud.do("offer", job="nobody")
        nobody = await cloud.wait("rejected", job="nobody")
        told = {
            "slow": slow,
            "fails": fails,
            "nowhere": nowhere,
            "again": again,
            "third": third,
            "nobody": nobody,
        }
        return {
            **{name: [one["reason"], one["detail"]] for name, one in told.items()},
            "cancelled": [here.ends[before].reason, here.ends[before].detail],
            "accepted": [one["job"] for one in cloud.of("accepted")],
            "completed": [one["job"] for one in cloud.of("completed")],
            "calls_left": here.gateway.switchboard.call_count,
        }


async def accepted_early() -> dict[str, Any]:
    """A bot that gets ready too late, at a gateway that accepts nonetheless."""
    async with place(accept="joined") as here:
        await here.cloud.do("offer", job="slow", variables={"slow_s": "4"}, deadline_ms=3000)
        accepted = await here.cloud.wait("accepted", job="slow")
        heard = await here.cloud.heard_until("slow", 0.5)
        return {"join_ms": accepted["ms"], "heard_s": heard["loud_s"]}


async def lost_and_found() -> dict[str, Any]:
    """The cloud's register restarts in mid-call; then the agent is killed, and another process goes on."""
    async with place(agent=False) as here:
        cloud, gateway = here.cloud, here.gateway
        first = await AgentProcess.start(gateway.url)
        second: AgentProcess | None = None
        try:
            await gateway.wait_for_agent(AGENT_ID, STARTS_S)
            await cloud.wait("register")
            await here.takes("long", bot="talks")
            await cloud.heard_until("long", 0.5)
            await cloud.do("restart")
            await cloud.wait("register", times=2)
            during = await cloud.heard_until("long", 1.0)
            await here.takes("after", bot="talks")
            second = await AgentProcess.start(gateway.url)
            await eventually(lambda: len(gateway.switchboard.instances.of(AGENT_ID)) == 2, STARTS_S)
            killed = await cloud.heard_until("after", 0.3)
            first.process.kill()
            await eventually(
                lambda: any(call.agent.assignment.losses.count for call in gateway.switchboard.calls), 15
            )
            recovered = await cloud.heard_until("after", killed["loud_s"] + 0.5)
            calls = [
                [call.phase.value, call.agent.assignment.losses.count] for call in gateway.switchboard.calls
            ]
            return {
                "registered": len(cloud.of("register")),
                "during_s": during["loud_s"],
                "recovered_s": recovered["loud_s"] - killed["loud_s"],
                "calls": calls,
                "left": len(cloud.of("left")),
            }
        finally:
            for process in (first, second):
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.process.kill()
                    await process.process.wait()


async def drained() -> dict[str, Any]:
    """A gateway that drains: no jobs, while the call in progress goes on to its end; then it takes jobs again."""
    async with place() as here:
        cloud, board = here.cloud, here.gateway.switchboard
        await here.takes("stays")
        draining = asyncio.create_task(here.gateway.drain(30))
        await cloud.wait("status", state="DRAINING")
        await cloud.do("offer", job="late")
        late = await cloud.wait("rejected", job="late")
        heard = await cloud.heard_until("stays", 0.5)
        went_on = not draining.done()
        await cloud.do("leave", job="stays")
        await draining
        await cloud.wait("completed", job="stays")
        board.drain.switch(on=False)
        await here.takes("again")
        await cloud.heard_until("again", 0.2)
        before = len(cloud.of("status", state="DRAINING"))
        await cloud.do("drain")
        await cloud.wait("status", state="DRAINING", times=before + 1)
        await cloud.do("offer", job="refused")
        refused = await cloud.wait("rejected", job="refused")
        await cloud.do("leave", job="again")
        await cloud.wait("completed", job="again")
        await here.ended(2)
        return {
            "late": late["reason"],
            "went_on": went_on,
            "heard_s": heard["loud_s"],
            "ended": [end.reason for end in here.ends],
            "refused": refused["reason"],
        }


async def cut_off() -> dict[str, Any]:
    """The connection to the room's server is lost in mid-call, and LiveKit's client makes it again."""
    async with place() as here:
        cloud = here.cloud
        await here.takes("one")
        before = await cloud.heard_until("one", 0.5)
        await cloud.do("cut", job="one")
        await cloud.wait("resumed", room="one")
        heard = await cloud.heard_until("one", before["loud_s"] + 1.0)
        await cloud.do("press", job="one", digit="7")
        await eventually(lambda: here.keys, 20)
        return {
            "heard_s": heard["loud_s"],
            "keys": here.keys,
            "ends": len(here.ends),
            "joined": len(cloud.of("joined")),
        }


async def own_gateway(isolation: str = "task") -> dict[str, Any]:
    """`piopiy start --cloud`: its gateway is killed, then it is told to end, and another one is killed itself."""
    async with CloudPeer.start(ADDRESS) as cloud:
        variables = {
            "AGENT_TOKEN": CLOUD_TOKEN,
            "PIOPIY_REGISTER": cloud.ready["register"],
            "PIOPIY_TLS": "false",
            "PIOPIY_API_URL": cloud.ready["api"],
            "PIOPIY_GATEWAY_RECORDS": "false",
            "PIOPIY_ISOLATION": isolation,
        }
        start = (
            "-m",
            "piopiy_pipeline.cli",
            "start",
            str(Path(__file__).with_name("cloud_bot.py")),
            "--cloud",
        )
        agent = await AgentProcess.start("", arguments=start, environment=variables)
        last: AgentProcess | None = None
        try:
            await cloud.wait("register")
            await cloud.do("offer", job="killed", deadline_ms=PATIENT_MS)
            await cloud.wait("accepted", job="killed")
            os.kill(_gateway_of(agent.process.pid), signal.SIGKILL)
            await cloud.wait("register", times=2)
            await cloud.do("offer", job="goes_on", deadline_ms=PATIENT_MS)
            await cloud.wait("accepted", job="goes_on")
            await cloud.heard_until("goes_on", 0.3)
            agent.process.terminate()
            await cloud.wait("status", state="DRAINING")
            heard = await cloud.heard_until("goes_on", 1.0)
            await cloud.do("offer", job="late")
            late = await cloud.wait("rejected", job="late")
            await cloud.do("leave", job="goes_on")
            status = await agent.process.wait()
            gone = len(cloud.of("gone"))
            last = await AgentProcess.start("", arguments=start, environment=variables)
            await cloud.wait("register", times=3)
            last.process.kill()
            await cloud.wait("gone", times=gone + 1)
            return {
                "heard_s": heard["loud_s"],
                "late": late["reason"],
                "status": status,
                "log": agent.log,
            }
        finally:
            for process in (agent, last):
                if process is not None:
                    with suppress(ProcessLookupError):
                        process.process.kill()
                    await process.process.wait()


async def own_gateway_isolated() -> dict[str, Any]:
    """The same with call workers, which are forked from the agent when it has started its gateway."""
    return await own_gateway("process")


def _gateway_of(pid: int) -> int:
    """Return the process that an agent has started for its gateway, among others that it may have forked."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(one) for one in children if b"bound_gateway" in Path(f"/proc/{one}/cmdline").read_bytes())


STORIES: dict[str, Callable[[], Coroutine[Any, Any, dict[str, Any]]]] = {
    story.__name__: story
    for story in (
        whole_call,
        bot_acts,
        offers,
        accepted_early,
        lost_and_found,
        drained,
        cut_off,
        own_gateway,
        own_gateway_isolated,
    )
}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(STORIES[sys.argv[1]]())))
