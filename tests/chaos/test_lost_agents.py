"""An agent that is lost with half of all calls: they are heard elsewhere, and nobody else notices.

Killed with signal 9, hung, cut off, or ended by one call's tool; in both isolations. Real processes, against the clock
of the wall. `--chaos-long` has 20 callers in place of 6; `--chaos-report FILE` writes down what was measured.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Callable

import pytest

from tests.chaos.test_silent_agents import Harm
from tests.support.calls import eventually
from tests.support.chaos import ChaosCaller, chaos, go_on
from tests.support.stalling_proxy import stalling_proxy

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

AGENT = "tests.support.faulty_agent"
GENEROUS_S = 30.0
SETTLE_S = 1.5
LATER_S = 1.0
SHORT = {("killed", "task"), ("os_exit", "task")}
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux")


def _params() -> list[object]:
    wanted = [
        (harm, isolation) for harm in ("killed", "hung", "cut_off") for isolation in ("task", "process")
    ]
    wanted += [("os_exit", "task"), ("segfaults", "task")]  # in call workers: test_isolated_calls.py
    return [
        pytest.param(
            harm,
            isolation,
            marks=[
                *([] if (harm, isolation) in SHORT else [pytest.mark.long_form]),
                *([LINUX] if isolation == "process" else []),
            ],
        )
        for harm, isolation in wanted
    ]


@pytest.mark.parametrize(("harm", "isolation"), _params())
def test_the_calls_of_a_lost_agent_are_heard_elsewhere(
    harm: str, isolation: str, full: bool, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with chaos(agents=0) as place, stalling_proxy(int(place.url.rpartition(":")[2])) as network:
            environment = {"PIOPIY_ISOLATION": isolation, "CAPACITY": "40", "REPLY_S": "10"}
            if isolation == "process":
                environment["PIOPIY_WORKERS"] = "2"
            for url in (network.url, None):
                await place.add_agent(url=url, module=AGENT, environment=environment)
            if isolation == "process":
                await eventually(lambda: place.gateway_log.count(" registered: instance ") >= 4, GENEROUS_S)
            callers = await place.callers(20 if full else 6)
            lost = place.agents[0]
            await asyncio.sleep(SETTLE_S)
            harmed = Harm(place, callers, lost)
            assert harmed.theirs
            culprit: ChaosCaller | None = None
            match harm:
                case "killed":
                    lost.kill()
                case "hung":
                    lost.stop()
                case "cut_off":
                    network.stall()
                case _:
                    culprit = await place.caller({"fault": harm})
                    await eventually(
                        lambda: "the connection to the agent was lost" in place.gateway_log, GENEROUS_S
                    )
                    [lost] = [agent for agent in place.agents if agent.process.returncode is not None]
                    harmed.of(lost, callers)
            await harmed.until_moved()
            await asyncio.sleep(LATER_S)
            now = loop.time()
            await go_on(callers, now)
            record_property(
                "chaos",
                {
                    "fault": f"agent with {len(harmed.theirs)} of {len(callers)} calls {harm}, isolation={isolation}",
                    "audible_elsewhere_s": max(harmed.moved()),
                    "silence_s": max(caller.longest_silence_s(harmed.at, now) for caller in harmed.theirs),
                    "others_worst_gap_s": max(
                        caller.longest_silence_s(harmed.at, now) for caller in harmed.others
                    ),
                    "what became of it": "all calls go on"
                    if culprit is None
                    else f"all others go on; its own call: {culprit.ended or 'goes on, too'}",
                },
            )
            network.resume()

    asyncio.run(story())


def test_a_call_whose_timer_leaves_the_program_ends_with_its_agent_and_the_others_go_on() -> None:
    async def story() -> None:
        async with chaos(agents=2) as place:
            culprit = await place.caller({"harm": "sys_exit", "after": 3.0})
            callers = await place.callers(3)
            lost, other = sorted(place.agents, key=lambda agent: agent.pitch != culprit.agent_heard())
            await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            assert culprit.ended == ("error", "")
            await eventually(lambda: "sys.exit(7) was called" in place.gateway_log, GENEROUS_S)
            where = r"sys\.exit\(7\) was called at tests/support/harmful_bots\.py:\d+, which ends the agent"
            assert re.search(where, place.gateway_log)
            assert re.search(where, lost.log)
            await eventually(
                lambda: all(caller.agent_heard() == other.pitch for caller in callers), GENEROUS_S
            )
            assert other.process.returncode is None, "it was not offered the call"

    asyncio.run(story())
