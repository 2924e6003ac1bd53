"""The gateway calls real telephones because an operator asked it to over HTTP, and a bot talks to whoever picks up.

In real time, because telephones and their sockets know no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from examples import front_desk
from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.phones.dialled_sip_leg import DialledSipLeg
from piopiy_pipeline.services.providers import prepare
from tests.support.baresip import Baresip
from tests.support.calls import house
from tests.support.gateway_peers import AGENT_ID, ScriptedAgent, agent, config, until
from tests.support.offline import AUDIO
from tests.support.phone_calls import ended, phone_of, phones_of, recognised
from tests.support.web import API_KEY, client

pytestmark = pytest.mark.realtime

SIP: dict[str, Any] = {"port": 0, "users": {"alice": "secret"}, "contacts": {"Alice at home": "alice"}}


def test_the_bot_calls_a_phone_and_a_table_is_booked_by_whoever_picks_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("OPENAI_API_KEY", "LLM_BASE_URL"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setattr(front_desk, "BOOKINGS", tmp_path / "bookings.jsonl")
    told: list[ConversationReported] = []

    def watch(news: BusEvent) -> None:
        if isinstance(news, ConversationReported) and not news.partial:
            told.append(news)

    def turns() -> int:
        return sum(news.event == "bot_turn" for news in told)

    async def story() -> NDArray[np.int16]:
        await prepare(playbook=front_desk.PLAYBOOK)
        async with (
            house(front_desk.on_new_session, sip=SIP, api_keys=[API_KEY], offer_ms=5000) as place,
            phone_of(place.gateway, account=";answermode=auto") as phone,
            client(place.gateway) as web,
        ):
            await place.gateway.ready()
            place.gateway.switchboard.event_bus.subscribe(watch)
            order = {
                "agent_id": "test-agent",
                "to": "alice at home",
                "from": "+4930100",
                "metadata": {"n": 1},
            }
            ordered = await web.post("/api/calls", json=order)
            assert ordered.status_code == 201, ordered.text
            assert ordered.json()["phase"] == "dialling"
            assert "+4930100" in (await phone.event("CALL_ESTABLISHED"))["peeruri"]
            for number, wav in enumerate(("01-people", "02-when", "03-yes", "04-goodbye"), 1):
                await until(lambda number=number: turns() >= number)  # type: ignore[misc]
                await phone.say(AUDIO / "booking" / f"{wav}.wav")
            await phone.event("CALL_CLOSED")
            record = await ended(place.gateway)
            assert record.call_id == ordered.json()["call_id"]
            assert (record.reason, record.kind) == (EndReason.AGENT_HANGUP, "phone")
            assert (record.from_number, record.to_number) == ("+4930100", "alice at home")
            return phone.heard()

    understood = asyncio.run(recognised(asyncio.run(story())))
    assert '"people": 4, "day": "Friday", "time": "19:00"' in (tmp_path / "bookings.jsonl").read_text()
    confirmation = next(text for text in understood if "booked" in text)
    assert confirmation.startswith("a table for four friday")


# ---------------------------------------------------------------------- what may become of it


class Desk:
    """A gateway with an operator and an agent, and Alice's phone."""

    def __init__(self, gateway: Gateway, one: ScriptedAgent, web: httpx.AsyncClient, phone: Baresip) -> None:
        self.gateway, self.agent, self._web, self.phone = gateway, one, web, phone

    async def order(self, to: str = "alice", **more: Any) -> httpx.Response:
        return await self._web.post("/api/calls", json={"agent_id": AGENT_ID, "to": to, **more})


@asynccontextmanager
async def desk(account: str = ";answermode=manual", **sip: Any) -> AsyncIterator[Desk]:
    settings = config(sip={**SIP, **sip}, api_keys=[API_KEY], offer_ms=30_000)
    async with (
        Gateway(settings) as gateway,
        agent(gateway) as one,
        phone_of(gateway, account=account) as phone,
        client(gateway) as web,
    ):
        await gateway.ready()
        yield Desk(gateway, one, web, phone)


def test_a_phone_that_refuses_is_on_record_as_busy() -> None:
    async def story() -> None:
        async with desk() as here:
            await here.order()
            await here.phone.event("CALL_INCOMING")
            await here.phone.hang_up()
            record = await ended(here.gateway)
            assert (record.reason, record.answered_at) == (EndReason.CALLEE_BUSY, None)
            assert record.detail.startswith("486")
            assert not phones_of(here.gateway).active

    asyncio.run(story())


def test_a_phone_that_is_not_picked_up_stops_ringing() -> None:
    async def story() -> None:
        async with desk() as here:
            await here.order(ring_timeout_s=1)
            await here.phone.event("CALL_INCOMING")
            await here.phone.event("CALL_CLOSED")  # by CANCEL
            assert (await ended(here.gateway)).reason is EndReason.NO_ANSWER

    asyncio.run(story())


def test_a_phone_that_plays_something_before_it_is_picked_up_is_called_all_the_same() -> None:
    """183 with a description: nobody listens to that here, and the answer counts."""

    async def story() -> None:
        async with desk(";answermode=early") as here:
            call = here.gateway.switchboard.call((await here.order()).json()["call_id"])
            assert call is not None
            assert isinstance(call.leg, DialledSipLeg)
            leg = call.leg
            await until(lambda: leg._early is not None)
            await here.phone.command("accept")
            await here.phone.event("CALL_ESTABLISHED")
            offer = await here.agent.offer()
            await here.agent.take(offer, caller_rate=8000, bot_rate=8000)
            await here.agent.hangup(offer)
            await here.phone.event("CALL_CLOSED")
            assert (await ended(here.gateway)).reason is EndReason.AGENT_HANGUP

    asyncio.run(story())


def test_who_cannot_or_may_not_be_called_is_said_at_once() -> None:
    async def story() -> None:
        async with desk(users={"alice": "secret", "bob": "secret"}) as here:
            for to, status, says in (
                ("bob", 409, "no phone of 'bob' is registered"),
                ("+4930123", 409, "numbers need a trunk"),
                ("sip:alice@127.0.0.1", 422, "sip.allow_uris is off"),
                ("the kitchen", 422, "neither a contact"),
            ):
                answer = await here.order(to)
                assert answer.status_code == status
                assert says in answer.json()["error"]
            assert here.gateway.switchboard.snapshot().calls == ()

    asyncio.run(story())
