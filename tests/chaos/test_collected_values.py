"""An agent is killed with kill -9 while it collects a telephone number: the other one goes on in the same step.

Real processes, a real gateway, and keys that a caller presses over the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.support.calls import eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 30.0
Report = Callable[[str, object], None]


def said(agent: ChaosAgent) -> list[str]:
    return [str(line["text"]) for line in agent.told("bot_turn")]


async def press(caller: ChaosCaller, keys: str) -> None:
    for key in keys:
        caller.press(key)
        await asyncio.sleep(0.1)


def test_a_number_of_which_half_was_pressed_goes_on_at_another_agent(record_property: Report) -> None:
    async def scenario() -> None:
        async with chaos(agents=0) as place:
            for _ in range(2):
                await place.add_agent(module="tests.support.collecting_agent")
            caller = await place.caller()
            await eventually(lambda: any(agent.told("collection") for agent in place.agents), GENEROUS_S)
            [first] = [agent for agent in place.agents if agent.told("collection")]
            [other] = [agent for agent in place.agents if agent is not first]
            await eventually(lambda: "Your PIN?" in said(first), GENEROUS_S)
            await press(caller, "4157")
            await eventually(lambda: "Your number?" in said(first), GENEROUS_S)
            await press(caller, "030#")
            await eventually(lambda: any("0 3 0 so far" in text for text in said(first)), GENEROUS_S)
            first.kill()
            place.agents.remove(first)
            await eventually(lambda: any("0 3 0 so far" in text for text in said(other)), GENEROUS_S)
            await press(caller, "123456#")
            await eventually(lambda: any("Is that right" in text for text in said(other)), GENEROUS_S)
            await press(caller, "1")
            await eventually(lambda: other.told("form"), GENEROUS_S)
            [form] = other.told("form")
            assert (form["pin"], form["number"], form["how"]) == ("4157", "+4930123456", "keys")
            assert form["resumed"]
            assert not any("PIN" in text for text in said(other))
            assert caller.ended is None
            await caller.hang_up()

    asyncio.run(scenario())
    record_property(
        "chaos",
        {
            "fault": "kill -9 while half of a telephone number was pressed",
            "what became of it": "the other agent had the PIN and the half, and asked for the rest",
        },
    )
