"""Agents whose gateway is killed with signal 9 let go of their calls: real processes, by the clock of the wall."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest

from tests.support.calls import eventually
from tests.support.chaos import chaos

pytestmark = [pytest.mark.realtime, pytest.mark.chaos]

GENEROUS_S = 10.0
Report = Callable[[str, object], None]


def test_an_agent_whose_gateway_is_killed_ends_its_sessions(record_property: Report) -> None:
    async def story() -> None:
        async with chaos(agents=1) as place:
            await place.callers(4)
            [agent] = place.agents
            assert place.gateway is not None
            began = asyncio.get_running_loop().time()
            place.gateway.process.send_signal(signal.SIGKILL)
            await eventually(lambda: len(agent.told("end")) == 4, GENEROUS_S)
            took_s = asyncio.get_running_loop().time() - began
            record_property(
                "chaos",
                {
                    "fault": "the gateway is killed with signal 9",
                    "noticed_s": took_s,
                    "what became of it": "all sessions of its agent have ended, and the agent looks for a gateway",
                },
            )

    asyncio.run(story())
