"""A call worker: its one call stays until the agent is drained, and its supervisor knows whether a gateway knows it."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.forked_worker import ForkedWorker
from piopiy_pipeline.agent.process_messages import (
    CallsUnderWay,
    DrainWorker,
    EndWorker,
    ForkWorker,
    open_pair,
    receive_all,
    send,
)
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.session import Call
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, KEY, SETTINGS, TOKEN, CallLog, House, eventually
from tests.support.gateway_process import free_port

pytestmark = pytest.mark.realtime

DRAIN_S = 0.3
PATIENCE_S = 20.0


@pytest.mark.parametrize("drains", [False, True])
def test_the_call_of_a_worker_of_one_call_stays_until_the_agent_drains(drains: bool) -> None:
    async def bot(call: Call) -> None:
        resumed.append(call.resumed is not None)
        await (await voice(call, greeting=LONG)).start()

    async def story() -> EndReason:
        config = GatewayConfig(agents={AGENT_ID: TOKEN}, caller_keys=[KEY], port=0, **SETTINGS)
        async with Gateway(config) as gateway:
            agent = Agent(AGENT_ID, TOKEN, bot, signaling_url=gateway.url, drain="move", drain_s=DRAIN_S)
            ours, theirs = open_pair()
            theirs.setblocking(False)
            order = ForkWorker(1, f"{AGENT_ID}-w1", 1, one_call=True)
            worker = ForkedWorker(agent, order, theirs, orphans_stderr=2, loop_factory=asyncio.new_event_loop)
            working = asyncio.create_task(asyncio.to_thread(asyncio.run, worker._serve()))
            await gateway.wait_for_agent(AGENT_ID, PATIENCE_S)
            other = Agent(AGENT_ID, TOKEN, bot, signaling_url=gateway.url)  # where a call could move
            log = CallLog(16000)
            place = House(gateway, agent)
            calling = asyncio.create_task(place.call(log=log, hangup_after_s=8 * DRAIN_S))
            await eventually(lambda: log.heard.size > 0, PATIENCE_S)
            [instance] = gateway.switchboard.instances.of(AGENT_ID)
            await eventually(lambda: instance.draining, PATIENCE_S)  # as the gateway knows who takes no more
            if drains:
                send(ours, DrainWorker())
            else:
                serving = asyncio.create_task(other.connect())
                await eventually(lambda: len(gateway.switchboard.instances.of(AGENT_ID)) == 2, PATIENCE_S)
            await asyncio.wait_for(calling, PATIENCE_S)
            assert await asyncio.wait_for(working, PATIENCE_S) == 0, "it ends after its one call"
            if not drains:
                await other.shutdown()
                await asyncio.wait_for(serving, PATIENCE_S)
            ours.close()
            theirs.close()
        return log.reason

    resumed: list[bool] = []
    reason = asyncio.run(story())
    assert reason is (EndReason.DRAINED if drains else EndReason.CALLER_HANGUP)
    assert resumed == [False], "the call has not moved"


async def never(call: Call) -> None: ...


def test_a_supervisor_is_told_when_a_gateway_knows_a_call_worker_and_when_none_does() -> None:
    async def story() -> None:
        port = free_port()
        config = GatewayConfig(agents={AGENT_ID: TOKEN}, port=port, **SETTINGS)
        agent = Agent(AGENT_ID, TOKEN, never, signaling_url=f"ws://127.0.0.1:{port}")
        ours, theirs = open_pair()
        ours.setblocking(False)
        theirs.setblocking(False)
        said: list[object] = []

        def says(registered: bool) -> bool:
            said.extend(message for message, _ in receive_all(ours)[0])
            return CallsUnderWay([], registered=registered) in said

        order = ForkWorker(1, f"{AGENT_ID}-w1", 1, one_call=True)
        worker = ForkedWorker(agent, order, theirs, orphans_stderr=2, loop_factory=asyncio.new_event_loop)
        working = asyncio.create_task(asyncio.to_thread(asyncio.run, worker._serve()))
        await eventually(lambda: agent._closing is not None, PATIENCE_S)
        worker.on_change()  # as with each status, also of a load that has changed
        await eventually(lambda: says(False), PATIENCE_S)
        assert said.count(said[0]) == len(said), "nothing else is said before there is a gateway"
        async with Gateway(config):
            await eventually(lambda: says(True), PATIENCE_S)
        said.clear()
        await eventually(lambda: says(False), PATIENCE_S)
        send(ours, EndWorker())
        assert await asyncio.wait_for(working, PATIENCE_S) == 0
        ours.close()
        theirs.close()

    asyncio.run(story())
