"""Agents that hang or are cut off in the middle of calls, and a gateway that is: real processes, and a real network.

They run against the clock of the wall, because processes are real and a stopped one has no other. What is asserted is
the outcome, within generous times; `--chaos-report FILE` writes down what was measured.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, ChaosPlace, chaos
from tests.support.stalling_proxy import stalling_proxy

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
SETTLE_S = 2.0
Report = Callable[[str, object], None]


class Harm:
    """What callers hear of what is done to an agent now."""

    def __init__(self, place: ChaosPlace, callers: list[ChaosCaller], harmed: ChaosAgent) -> None:
        self.place = place
        self.at = asyncio.get_running_loop().time()
        self.wall = datetime.now()
        self.of(harmed, callers)

    def of(self, harmed: ChaosAgent, callers: list[ChaosCaller]) -> None:
        """Look at this agent's callers, who heard it until it was harmed, and at the others."""
        self.theirs = [caller for caller in callers if caller.agent_heard(until=self.at) == harmed.pitch]
        self.others = [caller for caller in callers if caller not in self.theirs]
        self.harmed = harmed

    def moved(self, *, without: ChaosCaller | None = None) -> list[float]:
        """Return after how many seconds those who have moved heard another agent."""
        since = [
            min(
                (caller.first_heard(agent.pitch, self.at) or 1e9)
                for agent in self.place.agents
                if agent is not self.harmed
            )
            - self.at
            for caller in self.theirs
            if caller is not without
        ]
        return [one for one in since if one < 1e6]

    async def until_moved(self, *, without: ChaosCaller | None = None) -> None:
        """Wait until all of them, but for one perhaps, hear another agent."""
        wanted = len(self.theirs) - (without is not None)
        await eventually(lambda: len(self.moved(without=without)) == wanted, GENEROUS_S)

    def noticed_s(self, text: str = " is silent: ") -> float:
        """Return after how many seconds the gateway has logged this."""
        [line, *_] = [line for line in self.place.gateway_log.splitlines() if text in line]
        said = re.match(r"(\d+):(\d+):(\d+)\.(\d+)", line)
        assert said is not None
        hour, minute, second, ms = map(int, said.groups())
        at = self.wall.replace(hour=hour, minute=minute, second=second, microsecond=ms * 1000)
        return (at - self.wall).total_seconds()

    def row(self, fault: str, outcome: str, *, without: ChaosCaller | None = None) -> dict[str, Any]:
        """Return the row of the report."""
        now = asyncio.get_running_loop().time()
        theirs = [caller for caller in self.theirs if caller is not without]
        return {
            "fault": fault,
            "noticed_s": self.noticed_s(),
            "audible_elsewhere_s": max(self.moved(without=without), default=""),
            "silence_s": max(caller.longest_silence_s(self.at, now) for caller in theirs),
            "others_worst_gap_s": max(
                (caller.longest_silence_s(self.at, now) for caller in self.others), default=""
            ),
            "what became of it": outcome,
        }


def test_the_calls_of_a_hung_agent_are_heard_elsewhere_and_it_lets_go_when_it_wakes(
    record_property: Report, full: bool
) -> None:
    seconds = 10 if full else 4

    async def story() -> None:
        async with chaos(agents=2) as place:
            callers = await place.callers(6)
            hung, other = place.agents
            await asyncio.sleep(SETTLE_S)
            harm = Harm(place, callers, hung)
            assert len(harm.theirs) == 3
            hung.stop()
            await harm.until_moved()
            await asyncio.sleep(seconds - (asyncio.get_running_loop().time() - harm.at))
            row = harm.row(
                f"SIGSTOP of an agent for {seconds} s", "moved; the woken agent was told and let go"
            )
            hung.wake()
            await eventually(lambda: len(hung.told("end")) == 3, GENEROUS_S)
            assert {line["reason"] for line in hung.told("end")} == {"moved"}
            woken_at = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
            assert all(caller.agent_heard(woken_at) == other.pitch for caller in callers)
            assert not any(caller.first_heard(hung.pitch, woken_at) for caller in callers), "nobody hears it"
            await eventually(lambda: " is back" in place.gateway_log, GENEROUS_S)
            late = await place.caller()
            await eventually(lambda: late.agent_heard() == hung.pitch, GENEROUS_S)
            if sys.platform == "linux":
                assert "is confirmed: it hangs, or is cut off behind a proxy" in place.gateway_log
            record_property("chaos", row)

    asyncio.run(story())


def test_a_call_that_nobody_else_can_take_goes_on_when_the_hung_agent_wakes() -> None:
    async def story() -> None:
        async with chaos(agents=1) as place:
            [caller] = await place.callers(1)
            [agent] = place.agents
            agent.stop()
            await eventually(lambda: " is silent: " in place.gateway_log, GENEROUS_S)
            agent.wake()
            await eventually(lambda: " is back" in place.gateway_log, GENEROUS_S)
            since = asyncio.get_running_loop().time()
            await eventually(lambda: caller.agent_heard(since) == agent.pitch, GENEROUS_S)
            assert caller.ended is None
            assert not agent.told("end")

    asyncio.run(story())


def test_calls_behind_a_network_that_stalls_are_heard_elsewhere(record_property: Report, full: bool) -> None:
    seconds = 60 if full else 4

    async def story() -> None:
        async with chaos(agents=0) as place, stalling_proxy(int(place.url.rpartition(":")[2])) as network:
            far = await place.add_agent(url=network.url)
            near = await place.add_agent()
            callers = await place.callers(6)
            await asyncio.sleep(SETTLE_S)
            harm = Harm(place, callers, far)
            assert len(harm.theirs) == 3
            network.stall()
            await harm.until_moved()
            await eventually(lambda: len(far.told("end")) == 3, GENEROUS_S)
            assert {line["reason"] for line in far.told("end")} == {"agent_lost"}, "it hears no gateway"
            await asyncio.sleep(seconds - (asyncio.get_running_loop().time() - harm.at))
            fault = f"the network to an agent stalls for {seconds} s, sockets open"
            row = harm.row(fault, "moved; the agent ended its sessions")
            network.resume()
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 3, GENEROUS_S)
            since = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
            assert all(caller.agent_heard(since) == near.pitch for caller in callers)
            record_property("chaos", row)

    asyncio.run(story())


def test_a_media_stream_that_stands_moves_its_call_alone(record_property: Report) -> None:
    async def story() -> None:
        async with chaos(agents=0) as place, stalling_proxy(int(place.url.rpartition(":")[2])) as network:
            far = await place.add_agent(url=network.url)
            await place.add_agent()
            callers = await place.callers(2)
            await asyncio.sleep(SETTLE_S)
            harm = Harm(place, callers, far)
            assert len(harm.theirs) == 1
            network.stall("/media/")
            await harm.until_moved()
            assert " is silent: " not in place.gateway_log, "the instance itself lives"
            await eventually(lambda: far.told("end"), GENEROUS_S)
            assert [line["reason"] for line in far.told("end")] == ["moved"]
            moved = harm.moved()
            record_property(
                "chaos",
                {
                    "fault": "the media stream of one call stalls, signaling lives",
                    "noticed_s": harm.noticed_s("its media stream stands still"),
                    "audible_elsewhere_s": max(moved),
                    "silence_s": harm.theirs[0].longest_silence_s(harm.at, asyncio.get_running_loop().time()),
                    "what became of it": "that call alone moved",
                },
            )

    asyncio.run(story())


def test_an_agent_whose_gateway_hangs_ends_its_sessions_and_goes_on_when_that_wakes(
    record_property: Report,
) -> None:
    async def story() -> None:
        async with chaos(agents=1) as place:
            callers = await place.callers(2)
            [agent] = place.agents
            await asyncio.sleep(SETTLE_S)
            assert place.gateway is not None
            began = asyncio.get_running_loop().time()
            place.gateway.process.send_signal(19)
            try:
                await eventually(lambda: len(agent.told("end")) == 2, GENEROUS_S)
            finally:
                took_s = asyncio.get_running_loop().time() - began
                place.gateway.process.send_signal(18)
            assert {line["reason"] for line in agent.told("end")} == {"agent_lost"}
            woken_at = asyncio.get_running_loop().time()
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            await asyncio.sleep(1)  # what was said before may still be heard
            await eventually(lambda: all(one.agent_heard(woken_at + 1) for one in callers), GENEROUS_S)
            assert not any(caller.ended for caller in callers)
            record_property(
                "chaos",
                {
                    "fault": "SIGSTOP of the gateway for 2 s",
                    "noticed_s": took_s,
                    "what became of it": "the agent ended its sessions, registered again, and the calls went on",
                },
            )

    asyncio.run(story())
