"""A gateway that is to end: it takes no new calls, and those in progress go on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.agent.blocked_report import BlockedReport
from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.phases import Phase
from piopiy_pipeline.signaling.liveness import WATCHDOG_QUERY
from piopiy_pipeline.signaling.messages import Blocked
from tests.support.gateway_peers import (
    AGENT_ID,
    AGENT_TOKEN,
    ScriptedAgent,
    agent,
    bearer,
    caller,
    config,
    until,
)
from tests.support.web import API_KEY, client


def drained(*, on: bool = True) -> dict[str, Any]:
    return {"json": {"on": on}}


def test_a_call_in_progress_goes_on_and_new_ones_are_refused_until_that_is_over() -> None:
    async def story() -> None:
        async with (
            Gateway(config(api_keys=[API_KEY])) as gateway,
            client(gateway) as web,
            agent(gateway) as one,
            caller(gateway) as line,
        ):
            offer = await one.offer()
            await one.take(offer)
            await line.hear("answered")
            assert (await web.get("/readyz")).text == "ready"
            assert (await web.post("/api/drain")).json() == {"draining": True, "calls": 1}
            assert (await web.get("/api/drain")).json() == {"draining": True, "calls": 1}
            ready = await web.get("/readyz")
            assert ready.status_code == 503
            assert "takes no new calls" in ready.json()["error"]
            assert "takes no new calls" in (await web.get("/healthz")).text
            with pytest.raises(Exception, match="503"):
                async with caller(gateway):
                    pass
            refused = await web.post("/api/calls", json={"agent_id": AGENT_ID, "to": "+15550100"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            call = gateway.switchboard.call(offer["call_id"])
            assert call is not None
            assert call.phase is Phase.LIVE
            assert gateway.switchboard.instances.of(AGENT_ID), "a gateway that is alone keeps its agents"
            assert (await web.post("/api/drain", **drained(on=False))).json()["draining"] is False
            async with caller(gateway):
                await one.offer()

    asyncio.run(story())


def test_it_waits_until_the_last_call_has_ended_and_no_longer_than_it_may() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            offer = await one.offer()
            await one.take(offer)
            await line.hear("answered")
            await gateway.drain(0.01)
            assert gateway.switchboard.call_count == 1
            draining = asyncio.create_task(gateway.drain(60))
            await one.say(type="hangup", call_id=offer["call_id"], reason="agent_hangup")
            await asyncio.wait_for(draining, 10)
            assert gateway.switchboard.call_count == 0

    asyncio.run(story())


def test_agents_without_a_call_go_when_there_is_another_gateway_and_the_others_after_it() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway, instance_id="busy") as busy,
            caller(gateway) as line,
        ):
            offer = await busy.offer()
            await busy.take(offer)
            await line.hear("answered")
            async with agent(gateway, instance_id="idle") as idle:
                gateway.switchboard.drain.other_gateways = lambda: ["ws://elsewhere:7860"]
                gateway.switchboard.drain.switch(on=True)
                assert (await idle.closed())[1] == "the gateway is shutting down"
                left = [one.instance_id for one in gateway.switchboard.instances.of(AGENT_ID)]
                assert left == ["busy"]
            with pytest.raises(Exception, match="503"):
                async with agent(gateway, instance_id="new"):
                    pass
            await busy.say(type="hangup", call_id=offer["call_id"], reason="agent_hangup")
            assert (await busy.closed())[1] == "the gateway is shutting down"
            await until(lambda: not gateway.switchboard.instances.of(AGENT_ID))

    asyncio.run(story())


def test_a_watchdog_is_heard_by_a_gateway_that_sends_agents_away_and_does_not_register(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[Blocked] = []

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            offer = await one.offer()
            await one.take(offer)
            await line.hear("answered")
            drain, silences = gateway.switchboard.drain, gateway.switchboard.silences
            drain.other_gateways = lambda: ["ws://elsewhere:7860"]
            drain.switch(on=True)
            monkeypatch.setattr(silences, "blocked", lambda message, now: said.append(message))
            report = BlockedReport(lambda: GatewayAddress(gateway.url), AGENT_TOKEN)
            word = Blocked(
                agent_id=AGENT_ID, instance_id="one", call_id=offer["call_id"], blocked_s=0.5, limit_s=10.0
            )
            report.send(word)
            await until(lambda: said == [word])
            await asyncio.to_thread(report.close)
            url = f"{gateway.url}/agent?{WATCHDOG_QUERY}"
            async with connect(
                url, additional_headers=bearer(AGENT_TOKEN), compression=None, proxy=None
            ) as socket:
                other = ScriptedAgent(socket, gateway.url)
                await other.register("other")
                assert (await other.closed())[1] == "the connection of a watchdog does not register"
            assert [each.instance_id for each in gateway.switchboard.instances.of(AGENT_ID)] == ["one"]

    asyncio.run(story())
