"""A telephone's call, whose agent is killed, hangs, or is stopped by another caller's code: it stays, and goes on.

Real telephones with real processes, against the clock of the wall: baresip, and ten at once of sipp. When baresip hears
the other agent is known only from its recording, which is written a piece at a time: the time that is reported is an
upper bound. sipp counts a call as failed that ends before its caller hangs up.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.baresip import Baresip, baresip, free_sip_port
from tests.support.calls import AGENT_ID, eventually
from tests.support.chaos import ChaosAgent, ChaosCaller, ChaosPlace, chaos
from tests.support.phone_calls import hears_tone
from tests.support.sipp import needs_sipp, sipp

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]
needs_baresip = pytest.mark.skipif(
    shutil.which("baresip") is None, reason="baresip is not installed (baresip-core)"
)

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


PHONES = 10
RINGING_S = 60.0
"""A busy machine's agents may take so long to answer all of them."""
PHONES_MS = 30_000
"""How long each of sipp's calls lasts: a busy machine takes some seconds for what is done meanwhile."""


def sip_settings(port: int) -> list[str]:
    return [
        "[sip]",
        f"port = {port}",
        'transports = ["udp"]',
        'users = { alice = "secret" }',
        'callers = "anyone"',
        f'routes = [{{ to = "555*", agent = "{AGENT_ID}" }}]',
    ]


@asynccontextmanager
async def phone_with(isolation: str) -> AsyncIterator[tuple[ChaosPlace, Baresip]]:
    """A gateway and an agent, a telephone that hears it, and another agent that takes one call."""
    port = free_sip_port()
    environment = {"PIOPIY_ISOLATION": isolation, "PIOPIY_WORKERS": "1", "BLOCKED_CALL_S": "3"}
    async with chaos(agents=0, settings=sip_settings(port)) as place:
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


@needs_baresip
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


async def harmed(place: ChaosPlace, fault: str) -> tuple[ChaosAgent, ChaosCaller | None]:
    """Do it to one of two agents. Returns that one, and the caller whose code it was, if it was one's."""
    near, far = place.agents
    match fault:
        case "killed":
            near.kill()
        case "hung":
            near.stop()
        case _:
            culprit = await place.caller({"fault": "sleeps"})
            await eventually(lambda: near.told("blocks") or far.told("blocks"), GENEROUS_S)
            return (near if near.told("blocks") else far), culprit
    return near, None


def answered(agent: ChaosAgent) -> set[str]:
    return {line["call_id"] for line in agent.told("answered")}


@needs_sipp
@pytest.mark.long_form
@pytest.mark.parametrize("isolation", ["task", "process"])
@pytest.mark.parametrize("fault", ["killed", "hung", "runaway"])
def test_of_ten_telephones_none_is_lost_with_one_of_two_agents(
    fault: str, isolation: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async def story() -> None:
        port = free_sip_port()
        environment = {"PIOPIY_ISOLATION": isolation, "PIOPIY_WORKERS": "1", "BLOCKED_CALL_S": "3"}
        async with chaos(agents=0, settings=sip_settings(port)) as place:
            for _ in range(2):
                await place.add_agent(module=AGENT, environment=environment)
            calling = asyncio.create_task(
                sipp(
                    "uac_media",
                    port,
                    folder=tmp_path,
                    calls=PHONES,
                    call_ms=PHONES_MS,
                    limit_s=90,
                    quiet=True,
                )
            )
            await eventually(lambda: sum(len(answered(one)) for one in place.agents) == PHONES, RINGING_S)
            theirs = [(one, answered(one)) for one in place.agents]
            began = asyncio.get_running_loop().time()
            lost, culprit = await harmed(place, fault)
            [(_, moving)] = [pair for pair in theirs if pair[0] is lost]
            [other] = [one for one in place.agents if one is not lost]
            assert moving, "it has some of the calls"
            await eventually(lambda: moving <= answered(other), GENEROUS_S)
            took_s = asyncio.get_running_loop().time() - began
            if culprit is not None:
                await eventually(lambda: culprit.ended is not None, GENEROUS_S)
            found = await calling
            found.check()
            assert found.successful == PHONES
            await eventually(lambda: place.gateway_log.count("ended: caller_hangup") == PHONES, GENEROUS_S)
            record_property(
                "chaos",
                {
                    "fault": f"agent with {len(moving)} of {PHONES} telephones (sipp) {fault}, isolation={isolation}",
                    "what became of it": f"{found.successful} of {PHONES} calls stayed; the last of its calls was with"
                    f" another agent after {took_s:.2f} s",
                },
            )

    asyncio.run(story())
