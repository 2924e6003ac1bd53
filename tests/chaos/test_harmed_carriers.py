"""Calls of every carrier whose agent is killed, hangs, or moves them: they stay, and go on with another agent.

Real processes, against the clock of the wall; the carriers' ends are those of `tests/gateway/carriers`. One caller a
carrier, all with one agent; the other one comes when they are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.support.calls import eventually
from tests.support.carrier_callers import CARRIER_SETTINGS, KEYLESS, CarrierCaller, carrier_callers
from tests.support.chaos import ChaosPlace, chaos
from tests.support.talking_callers import MODULE, CountedTurns, Heard, TalkingCaller, restart

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

SPEAKS = "tests.support.faulty_agent"
GENEROUS_S = 30.0
LATER_S = 1.0
GAP_S = 0.5
"""A carrier may get a fifth of a second in one piece, so that what is late in it is late for as long."""
Report = Callable[[str, object], None]


ENVIRONMENT = {"PIOPIY_DRAIN": "move", "CAPACITY": "10"}


@asynccontextmanager
async def carriers_with(module: str) -> AsyncIterator[tuple[ChaosPlace, list[CarrierCaller]]]:
    """A gateway and an agent, and a caller of each carrier who hears it."""
    async with chaos(agents=0, settings=CARRIER_SETTINGS) as place, AsyncExitStack() as stack:
        near = await place.add_agent(module=module, environment=ENVIRONMENT)
        callers = await carrier_callers(place, stack)
        await eventually(lambda: all(one.agent_heard() == near.pitch for one in callers), GENEROUS_S)
        yield place, callers


@pytest.mark.parametrize("harm", [pytest.param("killed", marks=pytest.mark.long_form), "hung"])
def test_callers_of_all_carriers_hear_another_agent_after_theirs_is(
    harm: str, record_property: Report
) -> None:
    async def story() -> None:
        async with carriers_with(SPEAKS) as (place, callers):
            [near] = place.agents
            far = await place.add_agent(module=SPEAKS, environment=ENVIRONMENT)
            at = asyncio.get_running_loop().time()
            near.kill() if harm == "killed" else near.stop()
            await eventually(lambda: all(one.first_heard(far.pitch, at) for one in callers), GENEROUS_S)
            await asyncio.sleep(LATER_S)
            now = asyncio.get_running_loop().time()
            silences = {one.name: one.longest_silence_s(at, now) for one in callers}
            assert all(one.agent_heard(now - 0.5) == far.pitch and not one.ended for one in callers), silences
            assert " ended: " not in place.gateway_log
            record_property(
                "chaos",
                {
                    "fault": f"agent with a call of each of {len(callers)} carriers {harm}",
                    "audible_elsewhere_s": max(
                        (one.first_heard(far.pitch, at) or 1e9) - at for one in callers
                    ),
                    "silence_s": max(silences.values()),
                    "what became of it": "all calls go on",
                },
            )

    asyncio.run(story())


def test_callers_of_all_carriers_go_on_in_turns_with_the_agent_that_their_call_moves_to(
    record_property: Report,
) -> None:
    async def story() -> None:
        async with carriers_with(MODULE) as (place, callers):
            [old] = place.agents
            counted = CountedTurns(place)
            talking = [
                TalkingCaller(caller, counted, number)
                for number, caller in enumerate(callers)
                if caller.name != KEYLESS
            ]
            over = asyncio.Event()
            talks = [asyncio.create_task(caller.talk(over)) for caller in talking]
            await eventually(lambda: all(len(caller.turns) >= 2 for caller in talking), GENEROUS_S)
            began = asyncio.get_running_loop().time()
            await restart(place, old, ENVIRONMENT)
            moved = asyncio.get_running_loop().time()
            turns = [len(caller.turns) for caller in talking]
            await eventually(
                lambda: all(len(one.turns) > n + 1 for one, n in zip(talking, turns, strict=True)), GENEROUS_S
            )
            over.set()
            await asyncio.gather(*talks)
            assert not any(caller.ended for caller in callers)
            assert [line["reason"] for line in old.told("end")] == ["moved"] * len(callers)
            new = place.agents[-1]
            assert {one.caller.agent_heard() for one in talking} == {new.pitch}
            control, heard = Heard.of(talking, until=began), Heard.of(talking, since=began)
            assert heard.gap_s < max(GAP_S, 2 * control.gap_s)
            record_property(
                "chaos",
                {
                    "fault": f"rolling restart of an agent with a call of each of {len(callers)} carriers",
                    "silence_s": heard.gap_s,
                    "what became of it": f"all moved in {moved - began:.0f} s, no turn lost; since then {heard}; "
                    f"before {control}",
                },
            )

    asyncio.run(story())
