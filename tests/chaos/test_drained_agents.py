"""Agents that are told to end while callers talk with them: a rolling restart moves the calls, and no turn is lost.

Real processes. Callers take turns with their bots (by keys, so that each turn is heard for what it is), and the answer
says how many turns it knows of. Short: 4 callers; `--chaos-long`: 20.
"""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, ChaosPlace, chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 30.0
MODULE = "tests.support.patient_agent"
Report = Callable[[str, object], None]


class TalkingCaller:
    """Takes turns: presses a key, hears the answer out, waits a little."""

    def __init__(self, caller: ChaosCaller, rng: random.Random) -> None:
        self.caller = caller
        self.turns = 0
        self._rng = rng
        self._loop = asyncio.get_running_loop()

    async def talk(self, until: asyncio.Event) -> None:
        await self._hear_out()  # a key over the greeting would be answered by what is left of it
        while not until.is_set():
            pressed_at = self._loop.time()
            self.caller.press("1#")
            self.turns += 1
            await self._hear_since(pressed_at)
            await self._hear_out()
            await asyncio.sleep(self._rng.uniform(0.3, 1.5))

    async def _hear_out(self) -> None:
        await eventually(lambda: self.caller.agent_heard(self._loop.time() - 0.5) is None, GENEROUS_S)

    async def _hear_since(self, at: float) -> None:
        await eventually(lambda: self.caller.agent_heard(at) is not None, GENEROUS_S)


def said_last(agents: list[ChaosAgent]) -> list[int]:
    """Return for each call how many turns the bot has spoken of last."""
    counts: dict[str, int] = {}
    for agent in agents:
        for line in agent.told("bot_turn"):
            number = next((int(word) for word in line["text"].split() if word.isdigit()), 0)
            counts[line["call_id"]] = max(counts.get(line["call_id"], 0), number)
    return sorted(counts.values())


def gaps_s(agents: list[ChaosAgent]) -> list[float]:
    """Return how long each move left a call without an agent: from the end here until the answer there."""
    answers: dict[str, list[float]] = {}
    for agent in agents:
        for line in agent.told("answered"):
            answers.setdefault(line["call_id"], []).append(line["at"])
    return [
        min((at - line["at"] for at in answers[line["call_id"]] if at > line["at"]), default=0.0)
        for agent in agents
        for line in agent.told("end")
        if line["reason"] == "moved"
    ]


async def restart(place: ChaosPlace, old: ChaosAgent, environment: dict[str, str]) -> None:
    """Start one more agent, and have the old one drain until it has gone."""
    await place.add_agent(module=MODULE, environment=environment)
    old.process.terminate()
    await asyncio.wait_for(old.process.wait(), GENEROUS_S * 2)
    assert old.process.returncode == 0


def test_a_rolling_restart_loses_no_call_and_no_turn(full: bool, record_property: Report) -> None:
    count = 20 if full else 4

    async def story() -> None:
        environment = {"PIOPIY_DRAIN": "move", "CAPACITY": "30"}
        async with chaos(agents=0) as place:
            for _ in range(3):
                await place.add_agent(module=MODULE, environment=environment)
            old = list(place.agents)
            callers = [
                TalkingCaller(caller, random.Random(number))
                for number, caller in enumerate(await place.callers(count))
            ]
            over = asyncio.Event()
            talks = [asyncio.create_task(caller.talk(over)) for caller in callers]
            await asyncio.sleep(2)
            began = asyncio.get_running_loop().time()
            for agent in old:
                await restart(place, agent, environment)
            took_s = asyncio.get_running_loop().time() - began
            over.set()
            await asyncio.gather(*talks)
            assert [caller.caller.ended for caller in callers] == [None] * count
            turns = sorted(caller.turns for caller in callers)
            await eventually(lambda: sum(said_last(place.agents)) >= sum(turns), GENEROUS_S)
            assert said_last(place.agents) == turns, "each call's bot knows of each turn"
            ends = [line["reason"] for agent in old for line in agent.told("end")]
            assert set(ends) == {"moved"}, ends
            gaps = gaps_s(place.agents)
            assert len(gaps) == len(ends) >= count
            record_property(
                "chaos",
                {
                    "fault": f"rolling restart of 3 agents under {count} callers in mid-conversation",
                    "silence_s": max(gaps),
                    "what became of it": f"{len(gaps)} moves in {took_s:.0f} s, none lost, no turn lost; "
                    f"without an agent {statistics.median(gaps):.2f} s (median), {max(gaps):.2f} s at most, in pauses",
                },
            )

    asyncio.run(story())


def ended(caller: ChaosCaller) -> Any:
    return caller.ended and caller.ended[0]


def test_a_call_that_nobody_else_can_take_hears_a_goodbye_after_the_grace() -> None:
    async def story() -> None:
        async with chaos(agents=0) as place:
            agent = await place.add_agent(
                module=MODULE, environment={"PIOPIY_DRAIN": "move", "PIOPIY_DRAIN_S": "3"}
            )
            [caller] = await place.callers(1)
            agent.process.terminate()
            await asyncio.wait_for(agent.process.wait(), GENEROUS_S)
            await eventually(lambda: ended(caller) == "drained", GENEROUS_S)
            assert "Goodbye" in agent.told("bot_turn")[-1]["text"]
            assert [line["reason"] for line in agent.told("end")] == ["drained"]

    asyncio.run(story())
