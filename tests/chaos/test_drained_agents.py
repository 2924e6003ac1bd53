"""Agents that are told to end while callers talk with them: a rolling restart moves the calls, and no turn is lost.

Real processes. Callers take turns with their bots (by keys, so that each turn is heard for what it is), and the answer
says how many turns it knows of. Short: 4 callers; `--chaos-long`: 20.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.baresip import baresip, free_sip_port
from tests.support.calls import AGENT_ID, eventually
from tests.support.chaos import ChaosCaller, chaos
from tests.support.phone_calls import hears_tone
from tests.support.talking_callers import MODULE, CountedTurns, Heard, TalkingCaller, restart

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 30.0
Report = Callable[[str, object], None]


def test_a_rolling_restart_loses_no_call_and_no_turn(full: bool, record_property: Report) -> None:
    count = 20 if full else 4

    async def story() -> None:
        environment = {"PIOPIY_DRAIN": "move", "CAPACITY": "30"}
        async with chaos(agents=0) as place:
            for _ in range(3):
                await place.add_agent(module=MODULE, environment=environment)
            old = list(place.agents)
            counted = CountedTurns(place)
            callers = [
                TalkingCaller(caller, counted, number)
                for number, caller in enumerate(await place.callers(count))
            ]
            over = asyncio.Event()
            talks = [asyncio.create_task(caller.talk(over)) for caller in callers]
            await eventually(lambda: all(len(caller.turns) >= 2 for caller in callers), GENEROUS_S * 2)
            began = asyncio.get_running_loop().time()
            for agent in old:
                await restart(place, agent, environment)
            took_s = asyncio.get_running_loop().time() - began
            over.set()
            await asyncio.gather(*talks)
            assert [caller.caller.ended for caller in callers] == [None] * count
            ends = [line["reason"] for agent in old for line in agent.told("end")]
            assert set(ends) == {"moved"}, ends
            moves = place.gateway_log.count(": moved from instance ")
            assert moves >= count
            control = Heard.of(callers, until=began)
            heard = Heard.of(callers, since=began)
            assert heard.gap_s < max(0.3, 2 * control.gap_s)
            record_property(
                "chaos",
                {
                    "fault": f"rolling restart of 3 agents under {count} callers in mid-conversation",
                    "silence_s": heard.gap_s,
                    "what became of it": f"{moves} moves in {took_s:.0f} s, none lost, no turn lost; "
                    f"during them {heard}; before them {control}",
                },
            )

    asyncio.run(story())


@pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")
def test_calls_of_call_workers_move_as_well() -> None:
    async def story() -> None:
        environment = {
            "PIOPIY_DRAIN": "move",
            "PIOPIY_ISOLATION": "process",
            "PIOPIY_WORKERS": "2",
            "CAPACITY": "4",
        }
        async with chaos(agents=0) as place:
            old = await place.add_agent(module=MODULE, environment=environment)
            await eventually(lambda: place.gateway_log.count(" registered: instance ") == 2, GENEROUS_S)
            counted = CountedTurns(place)
            callers = [
                TalkingCaller(caller, counted, number) for number, caller in enumerate(await place.callers(2))
            ]
            over = asyncio.Event()
            talks = [asyncio.create_task(caller.talk(over)) for caller in callers]
            await eventually(lambda: all(caller.turns for caller in callers), GENEROUS_S)
            await restart(place, old, environment)
            over.set()
            await asyncio.gather(*talks)
            assert [caller.caller.ended for caller in callers] == [None] * 2
            assert [line["reason"] for line in old.told("end")] == ["moved"] * 2

    asyncio.run(story())


@pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed (baresip-core)")
def test_a_telephone_goes_on_with_another_agent() -> None:
    async def story() -> None:
        port = free_sip_port()
        sip = [
            "[sip]",
            f"port = {port}",
            'transports = ["udp"]',
            'users = { alice = "secret" }',
            f'routes = [{{ to = "555*", agent = "{AGENT_ID}" }}]',
        ]
        environment = {"PIOPIY_DRAIN": "move", "CAPACITY": "2"}
        line = f"<sip:alice@127.0.0.1:{port};transport=udp>;auth_pass=secret;regint=60"
        async with chaos(agents=0, settings=sip) as place, baresip(line) as phone:
            old = await place.add_agent(module=MODULE, environment=environment)
            await phone.dial(f"sip:5551234@127.0.0.1:{port}")
            await eventually(lambda: old.told("bot_turn"), GENEROUS_S)
            await phone.press("1#")
            await eventually(lambda: "spoken 1 times" in str(old.told("bot_turn")), GENEROUS_S)
            await restart(place, old, environment)
            assert [line["reason"] for line in old.told("end")] == ["moved"]
            new = place.agents[-1]
            await phone.press("1#")
            await eventually(lambda: "spoken 2 times" in str(new.told("bot_turn")), GENEROUS_S)
            await hears_tone(phone, new.pitch)
            assert place.gateway_log.count(": moved from instance ") == 1
            await phone.hang_up()
            await eventually(lambda: "caller_hangup" in place.gateway_log, GENEROUS_S)

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
