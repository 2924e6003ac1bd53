"""Why an agent does not go to another gateway, in its own words: they are in that gateway's log."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.roaming_connections import RoamingConnections
from piopiy_pipeline.agent.signaling_connection import SignalingConnection
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.messages import AgentMessage, Roam, RoamResult
from tests.agent.test_signaling_connection import IDLE

ORDER = Roam(call_id="call-1", url="ws://127.0.0.1:9", ticket="t" * 40, deadline_ms=400)


async def bot(call: Call) -> None:
    """Be a callback."""


def test_an_agent_that_is_shut_down_says_so() -> None:
    async def story() -> None:
        settled: list[RoamResult] = []
        roaming = RoamingConnections(IDLE, calls_of=lambda _: 0, settle=settled.append)
        await roaming.close()
        roaming.begin(ORDER, SignalingConnection("ws://127.0.0.1:9", "token", IDLE))
        assert [(one.taken, one.detail) for one in settled] == [(False, "the agent is shut down")]

    asyncio.run(story())


@pytest.mark.parametrize(("drains", "says"), [(True, "it takes no more calls"), (False, "it has no place")])
def test_an_agent_that_drains_is_not_full(monkeypatch: pytest.MonkeyPatch, drains: bool, says: str) -> None:
    said: list[AgentMessage] = []
    agent = Agent("desk", "token", bot, capacity=1)
    home = agent._connection.home
    home.lets_roam = True
    monkeypatch.setattr(home, "post", said.append)
    if drains:
        agent.drain()
    else:
        agent._admission.capacity = 0
    agent._on_roam(ORDER, home)
    assert said[-1] == RoamResult(call_id="call-1", taken=False, detail=says)
