"""A call worker takes no second call, and yet does not drain: its first call stays until the agent is drained."""

from __future__ import annotations

import asyncio

import pytest

from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.forked_worker import ForkedWorker
from piopiy_pipeline.agent.process_messages import DrainWorker, ForkWorker, open_pair, send
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.server import Gateway
from piopiy_pipeline.session import Call
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, KEY, SETTINGS, TOKEN, CallLog, House, eventually

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
