"""Calls through a trunk: a second gateway is the provider, which wants a password for everything.

In real time, because both sides' sockets and voices know no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.dialling import DialRequest
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, caller, config, until
from tests.support.phone_calls import ended, loud, phones_of

pytestmark = pytest.mark.realtime


@dataclass
class Trunk:
    """A provider with an agent of its own, and a gateway that is its customer."""

    provider: Gateway
    theirs: ScriptedAgent
    gateway: Gateway
    ours: ScriptedAgent

    def registered(self) -> bool:
        """Whether the gateway is, with the provider."""
        endpoint = phones_of(self.provider).endpoint
        return endpoint is not None and endpoint.registered("acme")


@asynccontextmanager
async def trunk(password: str = "secret", **settings: Any) -> AsyncIterator[Trunk]:
    # A customer of a provider is a user with numbers of its own, and may show whom it passes on.
    customer = {"users": {"acme": "secret"}, "caller_ids": {"acme": ["+4930*", "ann"]}}
    provides = {"port": 0, **customer, "default_agent": AGENT_ID}
    async with Gateway(config(sip=provides, offer_ms=30_000)) as provider, agent(provider) as theirs:
        main = {
            "host": "127.0.0.1",
            "port": phones_of(provider).port,
            "user": "acme",
            "password": password,
            **settings,
        }
        sip = {"port": 0, "trunks": {"main": main}, "routes": [{"to": "acme", "agent": AGENT_ID}]}
        async with Gateway(config(sip=sip, offer_ms=30_000)) as gateway, agent(gateway) as ours:
            yield Trunk(provider, theirs, gateway, ours)


def dial(gateway: Gateway, to: str, from_number: str | None = None) -> None:
    info = CallInfo(AGENT_ID, "call-1", from_number=from_number, to_number=to, kind="phone")
    now = asyncio.get_running_loop().time()
    gateway.switchboard.dial(info, DialRequest(to, from_number), ring_timeout_s=20, now=now)


async def hear_each_other(one: Peer, other: Peer, rate: int = 8000) -> None:
    """What one says, the other hears, and the other way round."""
    voice = (8000 * np.sin(np.arange(2 * rate) / 5)).astype("<i2").tobytes()
    for speaker, listener in ((one, other), (other, one)):
        await speaker.socket.send(voice)
        listener.audio.clear()
        while await loud(listener, 0.1, rate) < 4000:
            pass


def test_a_number_is_called_through_the_trunk_with_its_password_and_a_number_of_its_own() -> None:
    async def story() -> None:
        async with trunk(caller_ids=["+4930100"]) as here:
            dial(here.gateway, "+49 (30) 555-1", "+15550100")
            offer = await here.theirs.offer()
            assert (offer["from_number"], offer["to_number"]) == ("+4930100", "+49305551")
            _, far = await here.theirs.take(offer, caller_rate=8000, bot_rate=8000)
            _, near = await here.ours.take(caller_rate=8000, bot_rate=8000)
            await hear_each_other(near, far)
            await here.theirs.hangup(offer)
            assert (await ended(here.gateway)).reason is EndReason.CALLER_HANGUP
            assert (await ended(here.provider)).reason is EndReason.AGENT_HANGUP

    asyncio.run(story())


def test_a_gateway_that_registers_is_called_by_its_provider() -> None:
    async def story() -> None:
        async with trunk(register_there=True) as here:
            await until(here.registered)
            dial(here.provider, "acme", "+4930999")
            offer = await here.ours.offer()
            assert (offer["from_number"], offer["to_number"]) == ("+4930999", "acme")
            _, near = await here.ours.take(offer, caller_rate=8000, bot_rate=8000)
            _, far = await here.theirs.take(caller_rate=8000, bot_rate=8000)
            await hear_each_other(near, far)
            await here.ours.hangup(offer)
            await ended(here.provider)
            await here.gateway.close()
            await until(lambda: not here.registered())  # it says good-bye

    asyncio.run(story())


def test_a_wrong_password_is_told_by_the_call() -> None:
    async def story() -> None:
        async with trunk(password="wrong", register_there=True) as here:
            dial(here.gateway, "110")
            record = await ended(here.gateway)
            assert record.reason is EndReason.UNREACHABLE
            assert record.detail.startswith("403")
            assert not here.registered()

    asyncio.run(story())


def test_a_caller_of_another_kind_is_transferred_to_a_number_and_whoever_picks_up_knows_why() -> None:
    async def story() -> None:
        async with trunk() as here, caller(here.gateway, from_number="ann") as ann:
            offer, _ = await here.ours.take()
            await ann.hear("answered")
            wish = {"call_id": offer["call_id"], "request_id": "t1", "to": "+49305551", "warm": True}
            await here.ours.say(type="transfer", summary="wants a\ntable", ring_timeout_s=20, **wish)
            far_offer = await here.theirs.offer()
            assert far_offer["from_number"] == "ann"
            assert far_offer["metadata"]["X-Call-Summary"] == "wants a table"
            _, far = await here.theirs.take(far_offer, caller_rate=8000, bot_rate=8000)
            assert (await here.ours.hear("transfer_result"))["outcome"] == "bridged"
            voice = (8000 * np.sin(np.arange(16000) / 5)).astype("<i2").tobytes()
            for at in range(0, len(voice), 640):
                await ann.socket.send(voice[at : at + 640])
                await asyncio.sleep(0.02)  # a microphone's pace: a bridge keeps no more than 200 ms
            while await loud(far, 0.1) < 4000:
                pass
            await far.socket.send(voice)
            ann.audio.clear()
            while await loud(ann, 0.1, 16000) < 4000:
                pass
            await here.theirs.hangup(far_offer)
            assert (await ann.hear("hangup", "ended"))["reason"] == "transferred"

    asyncio.run(story())
