"""Why an agent does not go to another gateway, in its own words: they are in that gateway's log."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from websockets.asyncio.server import ServerConnection, serve

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.roaming_connections import RoamingConnections
from piopiy_pipeline.agent.signaling_connection import SignalingConnection
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.messages import (
    PROTOCOL_VERSION,
    AgentMessage,
    GatewayMessage,
    Registered,
    Roam,
    RoamResult,
    dump,
)
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


def test_a_gateway_that_answers_when_the_call_is_gone_is_left_as_any_that_has_no_call() -> None:
    async def story() -> None:
        left = asyncio.Event()

        async def late(socket: ServerConnection) -> None:
            await socket.recv()
            roaming.refused(ORDER.call_id, "the caller has hung up")
            await socket.send(dump(Registered(protocol=PROTOCOL_VERSION, heartbeat_s=5)))
            await socket.wait_closed()
            left.set()

        def on_message(connection: SignalingConnection, message: GatewayMessage) -> None:
            assert isinstance(message, Registered)
            assert roaming.registered(connection)

        listener = replace(IDLE, on_message=on_message)
        roaming = RoamingConnections(listener, calls_of=lambda _: 0, settle=lambda _: None, idle_s=0.0)
        async with serve(late, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            order = ORDER.model_copy(update={"url": url, "deadline_ms": 20_000})
            roaming.begin(order, SignalingConnection("ws://127.0.0.1:9", "token", IDLE))
            try:
                await asyncio.wait_for(left.wait(), 10)
            finally:
                await roaming.close()

    asyncio.run(story())
