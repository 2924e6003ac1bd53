"""Piopiy's own REST clients against a running gateway with real telephones: nothing of them is changed but the address.

In real time, because telephones and other processes know no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from tests.piopiy.clients import Refused, RemoteClient, clients_folder, running
from tests.support.baresip import Baresip
from tests.support.gateway_peers import AGENT_TOKEN, Peer, ScriptedAgent, agent, config
from tests.support.phone_calls import ended, hears_tone, loud, phone_of, tone_file
from tests.support.web import API_KEY

pytestmark = pytest.mark.realtime

AGENT = "bdd32bcb-767c-40a5-be4a-5f45eeb348a6"
OTHER_AGENT = "2f2ae3ad-7ff6-4011-b10e-9ca1f8f8d1a2"
ANN, BOB = "918888888888", "917777777777"
OURS = "919999999999"
"""The number that is shown."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clients_folder(tmp_path_factory)


@dataclass
class House:
    gateway: Gateway
    bot: ScriptedAgent
    ann: Baresip
    bob: Baresip
    rest: RemoteClient
    control: RemoteClient

    async def call(self, **more: Any) -> tuple[str, dict[str, Any], Peer]:
        """Ann is called, and talks to the bot."""
        answer = await self.rest.calls("ai.call", caller_id=OURS, to_number=ANN, agent_id=AGENT, **more)
        offer = await self.bot.offer()
        _, media = await self.bot.take(offer, caller_rate=offer["caller_rate"], bot_rate=offer["caller_rate"])
        assert answer["call_id"] == offer["call_id"]
        return answer["call_id"], offer, media


@asynccontextmanager
async def house(packages: Path) -> AsyncIterator[House]:
    sip = {"port": 0, "users": {ANN: "secret", BOB: "secret"}}
    agents = {AGENT: AGENT_TOKEN, OTHER_AGENT: "other"}
    async with (
        Gateway(config(sip=sip, agents=agents, api_keys=[API_KEY], offer_ms=30_000)) as gateway,
        agent(gateway, agent_id=AGENT) as bot,
        phone_of(gateway, ANN, account=";answermode=auto") as ann,
        phone_of(gateway, BOB, account=";answermode=manual") as bob,
    ):
        url = gateway.url.replace("ws", "http", 1)
        async with (
            running("rest", packages, url, API_KEY) as rest,
            running("control", packages, url, API_KEY) as control,
        ):
            yield House(gateway, bot, ann, bob, rest, control)


def test_a_person_is_called_and_handed_over_and_hung_up_by_the_rest_client(
    packages: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        async with house(packages) as here:
            options = {"max_duration_sec": 600, "ring_timeout_sec": 40, "record": False}
            variables = {"customer_name": "Kumar", "score": 97, "is_vip": True}
            call_id, offer, media = await here.call(options=options, variables=variables)
            assert offer["metadata"] == variables
            assert OURS in (await here.ann.event("CALL_ESTABLISHED"))["peeruri"]
            await here.ann.say(tone_file(tmp_path, 500))
            while await loud(media) < 3000:
                pass
            endpoints = [{"type": "pstn", "number": BOB}]
            pipeline = [{"action": "connect", "params": {"caller_id": OURS}, "endpoints": endpoints}]
            answer = await here.rest.calls("ai.transfer", call_id=call_id, pipeline=pipeline)
            assert (answer["message"], answer["call_id"]) == ("queued", call_id)
            incoming = await here.bob.event("CALL_INCOMING")
            assert OURS in incoming["peeruri"], "the caller_id of the pipeline"
            await here.bob.command("accept")
            assert (await here.bot.hear("ended"))["reason"] == "transferred"
            await here.bob.say(tone_file(tmp_path, 800))
            await hears_tone(here.ann, 800)
            await hears_tone(here.bob, 500)
            hung_up = await here.rest.calls("voice.hangup", call_id=call_id, reason="resolved")
            assert hung_up["call_id"] == call_id
            await here.bob.event("CALL_CLOSED")
            await here.ann.event("CALL_CLOSED")
            record = await ended(here.gateway)
            assert record.detail == "hung up over the API: NORMAL_CLEARING, resolved"
            assert record.reason is EndReason.AGENT_HANGUP
            with pytest.raises(Refused, match="call_not_active") as over:
                await here.rest.calls("ai.hangup", call_id=call_id)
            assert over.value.status == 409

    asyncio.run(story())


def test_a_call_with_failover_goes_to_the_agent_that_runs(packages: Path) -> None:
    async def story() -> None:
        async with house(packages) as here:
            failover = {
                "agent_id": AGENT,
                "strategy": "sequential",
                "ring_timeout_sec": 20,
                "machine_detection": True,
            }
            answer = await here.rest.calls(
                "ai.call",
                caller_id=OURS,
                to_number=ANN,
                agent_id=OTHER_AGENT,
                app_id="app",
                failover=failover,
            )
            offer = await here.bot.offer()
            assert (offer["call_id"], offer["agent_id"]) == (answer["call_id"], AGENT)
            assert "machine_detection" in answer["warnings"][0]

    asyncio.run(story())


def test_the_rest_client_raises_its_own_errors_with_our_sentences(packages: Path) -> None:
    async def story() -> None:
        async with house(packages) as here:
            wanted = {"caller_id": OURS, "to_number": ANN}
            with pytest.raises(Refused, match="ai_agent_not_running") as absent:
                await here.rest.calls("ai.call", **wanted, agent_id=OTHER_AGENT)
            assert absent.value.status == 403
            with pytest.raises(Refused, match="not_supported") as direct:
                await here.rest.calls("voice.call", **wanted, app_id="app")
            assert direct.value.body["message"].startswith("pipeline: to_number is called already")
            with pytest.raises(Refused, match="not_supported"):
                await here.rest.calls(
                    "flow.call", **wanted, app_id="app", flow_id=AGENT, org_id=AGENT, options={"record": True}
                )
            url = here.gateway.url.replace("ws", "http", 1)
            async with running("rest", packages, url, AGENT_TOKEN) as stranger:
                with pytest.raises(Refused, match="unauthorized") as refused:
                    await stranger.calls("ai.call", **wanted, agent_id=AGENT)
            assert refused.value.status == 401

    asyncio.run(story())


def test_generation_2_transfers_warmly_asks_what_became_of_it_and_hangs_up(
    packages: Path, tmp_path: Path
) -> None:
    async def story() -> None:
        async with house(packages) as here:
            call_id, _, _ = await here.call()
            live = await here.control.calls("status", call_id=call_id)
            assert (live["status"], live["agent_id"]) == ("live", AGENT)
            wish = {"to_number": BOB, "caller_id": OURS, "timeout_sec": 20, "transfer_summary": "refund"}
            first = await here.control.calls("warm_transfer", call_id=call_id, **wish)
            await here.bob.event("CALL_INCOMING")
            with pytest.raises(Refused, match="409 transfer_in_progress") as busy:
                await here.control.calls("warm_transfer", call_id=call_id, **wish)
            assert busy.value.body["request_id"] == first["request_id"]
            asked = {"call_id": call_id, "request_id": first["request_id"]}
            assert (await here.control.calls("transfer_status", **asked))["status"] == "queued"
            await here.bob.hang_up()
            verdict = await here.control.calls("wait_for_transfer", **asked, poll_sec=0.05)
            assert (verdict["status"], verdict["reason"]) == ("failed", "busy")
            second = await here.control.calls(
                "blind_transfer", call_id=call_id, to_number=BOB, caller_id=OURS
            )
            await here.bob.event("CALL_INCOMING")
            await here.bob.command("accept")
            asked = {"call_id": call_id, "request_id": second["request_id"]}
            assert (await here.control.calls("wait_for_transfer", **asked, poll_sec=0.05))[
                "status"
            ] == "completed"
            assert await here.control.calls("hangup", call_id=call_id, reason="resolved")
            await here.ann.event("CALL_CLOSED")
            with pytest.raises(Refused, match="404 call_not_found"):
                await here.control.calls("status", call_id=call_id)

    asyncio.run(story())
