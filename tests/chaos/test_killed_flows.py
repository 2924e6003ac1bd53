"""An agent is killed between two nodes of a flow, and while another persona has the call: the next one goes on there.

Real processes and a real kill -9. The caller presses keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 20.0
Report = Callable[[str, object], None]


def nodes(agent: ChaosAgent) -> list[str]:
    return [line["node"] for line in agent.told("flow")]


async def until(caller: ChaosCaller, agent: ChaosAgent, keys: str, node: str) -> None:
    """Press keys, and wait until the agent has entered a node."""
    caller.press(keys)
    await eventually(lambda: nodes(agent)[-1:] == [node], GENEROUS_S)


async def spoken(agent: ChaosAgent, words: str) -> None:
    await eventually(lambda: any(words in line["text"] for line in agent.told("bot_turn")), GENEROUS_S)


async def _killed_between_nodes() -> tuple[ChaosAgent, ChaosAgent]:
    async with chaos(agents=0) as place:
        for _ in range(2):
            await place.add_agent(module="tests.support.flow_agent")
        caller = await place.caller()
        await eventually(lambda: any(nodes(agent) for agent in place.agents), GENEROUS_S)
        dead, left = sorted(place.agents, key=lambda agent: not nodes(agent))
        await until(caller, dead, "1#", "people")
        await until(caller, dead, "4#", "time")
        dead.kill()
        await eventually(lambda: left.told("answered"), GENEROUS_S)
        await spoken(left, "The table is for 4")
        await until(caller, left, "5#", "confirm")
        await spoken(left, "Repeat the booking for 4 on Friday at seven")
        await until(caller, left, "6#", "goodbye")
        await eventually(lambda: caller.ended is not None, GENEROUS_S)
        return dead, left


def test_the_next_agent_goes_on_in_the_same_node_with_what_was_collected(record_property: Report) -> None:
    dead, left = asyncio.run(_killed_between_nodes())
    assert nodes(dead) == ["welcome", "people", "time"]
    assert nodes(left) == ["confirm", "goodbye"]
    assert left.told("answered")[0]["resumed"] is True
    assert left.told("error") == []
    record_property(
        "chaos",
        {
            "fault": "kill -9 between two nodes of a flow",
            "what became of it": "the other agent went on in the same node, with the number of people",
        },
    )


async def _killed_after_a_hand_off() -> tuple[ChaosAgent, ChaosAgent]:
    async with chaos(agents=0) as place:
        for _ in range(2):
            await place.add_agent(module="tests.support.flow_agent")
        caller = await place.caller()
        await eventually(lambda: any(nodes(agent) for agent in place.agents), GENEROUS_S)
        dead, left = sorted(place.agents, key=lambda agent: not nodes(agent))
        await until(caller, dead, "1#", "people")
        caller.press("9#")
        await eventually(lambda: dead.told("hand_off"), GENEROUS_S)
        dead.kill()
        await eventually(lambda: left.told("asked"), GENEROUS_S)
        caller.press("8#")
        await eventually(lambda: left.told("hand_off"), GENEROUS_S)
        await until(caller, left, "4#", "time")
        await caller.hang_up()
        return dead, left


def test_who_has_the_call_has_it_at_the_next_agent_and_the_flow_waits(record_property: Report) -> None:
    dead, left = asyncio.run(_killed_after_a_hand_off())
    assert dead.told("hand_off")[-1]["agent"] == "billing"
    first = left.told("asked")[0]
    assert (first["system"], first["tools"]) == ("Billing", ["hand_off_call"])
    assert left.told("hand_off")[-1]["agent"] == ""
    assert nodes(left) == ["time"]
    record_property(
        "chaos",
        {
            "fault": "kill -9 while another persona has the call",
            "what became of it": "that persona went on at the other agent, and gave the call back to the flow",
        },
    )
