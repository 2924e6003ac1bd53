"""A telephone's call, whose agent is killed, hangs, or is stopped by another caller's code: it stays, and goes on.

A real telephone, baresip, with real processes, against the clock of the wall. When it hears the other agent is known
only from its recording, which is written a piece at a time: the time that is reported is an upper bound.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.support.baresip import Baresip, baresip, free_sip_port
from tests.support.calls import AGENT_ID, eventually
from tests.support.chaos import ChaosCaller, ChaosPlace, chaos
from tests.support.phone_calls import hears_tone

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.chaos,
    pytest.mark.skipif(shutil.which("baresip") is None, reason="baresip is not installed (baresip-core)"),
]

AGENT = "tests.support.faulty_agent"
GENEROUS_S = 20.0
HEARD_S = 0.4
"""So much of its tone an agent must be heard with."""
FORMS = [
    pytest.param("killed", "task", marks=pytest.mark.long_form),
    pytest.param("hung", "task", marks=pytest.mark.long_form),
    pytest.param("runaway", "task"),
    *(
        pytest.param(
            fault,
            "process",
            marks=[
                pytest.mark.long_form,
                pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux"),
            ],
        )
        for fault in ("killed", "hung", "runaway")
    ),
]


@asynccontextmanager
async def phone_with(isolation: str) -> AsyncIterator[tuple[ChaosPlace, Baresip]]:
    """A gateway and an agent, a telephone that hears it, and another agent that takes one call."""
    port = free_sip_port()
    sip = [
        "[sip]",
        f"port = {port}",
        'transports = ["udp"]',
        'users = { alice = "secret" }',
        f'routes = [{{ to = "555*", agent = "{AGENT_ID}" }}]',
    ]
    environment = {"PIOPIY_ISOLATION": isolation, "PIOPIY_WORKERS": "1", "BLOCKED_CALL_S": "3"}
    async with chaos(agents=0, settings=sip) as place:
        await place.add_agent(module=AGENT, environment=environment)
        line = f"<sip:alice@127.0.0.1:{port};transport=udp>;auth_pass=secret;regint=60"
        async with baresip(line) as phone:
            await phone.dial(f"sip:5551234@127.0.0.1:{port}")
            await place.add_agent(module=AGENT, environment={**environment, "CAPACITY": "1"})
            await hears_tone(phone, place.agents[0].pitch)
            yield place, phone


async def run_away(place: ChaosPlace) -> ChaosCaller:
    """Let another caller's code block the telephone's agent: the other agent has no place at that moment."""
    near, far = place.agents
    [filler] = await place.callers(1)
    assert filler.agent_heard() == far.pitch
    culprit = await place.caller({"fault": "sleeps"})
    await eventually(lambda: near.told("blocks"), GENEROUS_S)
    await filler.hang_up()
    return culprit


@pytest.mark.parametrize(("fault", "isolation"), FORMS)
def test_a_telephone_hears_another_agent_after_its_own_is(
    fault: str, isolation: str, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        async with phone_with(isolation) as (place, phone):
            near, far = place.agents
            culprit: ChaosCaller | None = None
            began = asyncio.get_running_loop().time()
            match fault:
                case "killed":
                    near.kill()
                case "hung":
                    near.stop()
                case "runaway":
                    culprit = await run_away(place)
            await hears_tone(phone, far.pitch, HEARD_S)
            took_s = asyncio.get_running_loop().time() - began - HEARD_S
            if culprit is not None:
                await eventually(lambda: culprit.ended is not None, GENEROUS_S)
                assert culprit.ended == ("error", "")
            before = len(place.gateway_log)
            await phone.hang_up()
            await eventually(lambda: "caller_hangup" in place.gateway_log[before:], GENEROUS_S)
            assert "ended: agent_lost" not in place.gateway_log
            record_property(
                "chaos",
                {
                    "fault": f"a telephone's agent is {fault}, isolation={isolation}",
                    "audible_elsewhere_s": took_s,
                    "what became of it": "the call stayed, and another agent was heard",
                },
            )

    asyncio.run(story())
