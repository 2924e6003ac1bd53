"""Real telephones, and an operator who has them called, transferred and hung up on over HTTP.

In real time, because a telephone and its sockets know no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import Phase
from tests.support.baresip import Baresip, baresip
from tests.support.gateway_peers import AGENT_ID, ScriptedAgent, agent, caller, config, until
from tests.support.offline import AUDIO
from tests.support.phone_calls import loud
from tests.support.web import API_KEY, client

pytestmark = pytest.mark.realtime

SIP: dict[str, Any] = {
    "port": 0,
    "users": {"alice": "secret", "bob": "secret"},
    "allow_uris": True,
    "routes": [{"to": "555*", "agent": AGENT_ID}],
}
SENTENCE = AUDIO / "booking" / "01-people.wav"


class Office:
    """A gateway with telephones, an agent that says nothing, and an operator."""

    def __init__(self, gateway: Gateway, one: ScriptedAgent, web: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.agent = one
        self.web = web
        self.outcomes: list[dict[str, Any]] = []
        gateway.switchboard.event_bus.subscribe(self._watch)

    @asynccontextmanager
    async def phone(self, user: str, answers: str = "auto") -> AsyncIterator[Baresip]:
        """A telephone, registered."""
        phones = self.gateway.phones
        assert phones is not None
        account = f"<sip:{user}@127.0.0.1:{phones.port}>;auth_pass=secret;regint=60;answermode={answers}"
        async with baresip(account) as phone:
            await until(lambda: phones.endpoint is not None and phones.endpoint.registered(user))
            yield phone

    async def ask(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.web.post(f"/api/calls{path}", json=body)
        assert answer.is_success, answer.text
        return dict(answer.json()) if answer.content else {}

    async def call_from(self, phone: Baresip) -> str:
        """The phone's call is in progress: its id."""
        phones = self.gateway.phones
        assert phones is not None
        dialling = asyncio.create_task(phone.dial(f"sip:5551234@127.0.0.1:{phones.port}"))
        call_id = await self.taken()
        await dialling
        return call_id

    async def taken(self) -> str:
        """The agent has taken the next call."""
        offer = await self.agent.offer()
        rate = offer["caller_rate"]
        await self.agent.take(offer, caller_rate=rate, bot_rate=rate)
        call_id = str(offer["call_id"])
        await self.phase(call_id, Phase.LIVE)
        return call_id

    async def phase(self, call_id: str, phase: Phase) -> None:
        def is_there() -> bool:
            call = self.gateway.switchboard.call(call_id)
            return (Phase.ENDED if call is None else call.phase) is phase

        await until(is_there)

    async def reason(self, call_id: str) -> str:
        await self.phase(call_id, Phase.ENDED)
        return str((await self.web.get(f"/api/calls/{call_id}")).json()["call"]["reason"])

    def _watch(self, news: BusEvent) -> None:
        if isinstance(news, ConversationReported) and news.event == "transfer":
            self.outcomes.append(news.data)


@asynccontextmanager
async def office() -> AsyncIterator[Office]:
    settings = config(sip=SIP, api_keys=[API_KEY])
    async with Gateway(settings) as gateway, agent(gateway) as one, client(gateway) as web:
        await gateway.ready()
        yield Office(gateway, one, web)


def hears_somebody(phone: Baresip) -> bool:
    """By its recording of the other side, which grows while it listens."""
    return any(
        int(np.abs(np.frombuffer(pcm[: len(pcm) // 2 * 2], np.int16).astype(np.int32)).max(initial=0)) > 3000
        for pcm in (path.read_bytes()[44:] for path in phone.folder.glob("dump-*-dec.wav"))
    )


async def talk_to_each_other(one: Baresip, other: Baresip) -> None:
    """Both speak, and hear each other."""
    await one.say(SENTENCE)
    await other.say(SENTENCE)
    await until(lambda: hears_somebody(one) and hears_somebody(other))


def test_a_phone_is_called_over_http_and_hears_the_keys_that_are_pressed_for_it() -> None:
    async def story() -> None:
        async with office() as here, here.phone("alice") as alice:
            record = await here.ask("", agent_id=AGENT_ID, to="alice", **{"from": "5550000"})
            incoming = await alice.event("CALL_ESTABLISHED")
            assert "5550000" in incoming["peeruri"]
            call_id = await here.taken()
            assert call_id == record["call_id"]
            await here.ask(f"/{call_id}/dtmf", digits="4")
            assert (await alice.event("CALL_DTMF_START"))["param"] == "4"
            await here.ask(f"/{call_id}/hangup")
            await alice.event("CALL_CLOSED")
            assert await here.reason(call_id) == "agent_hangup"

    asyncio.run(story())


def test_a_warm_transfer_joins_two_phones_as_soon_as_the_second_picks_up() -> None:
    async def story() -> None:
        async with office() as here, here.phone("alice") as alice, here.phone("bob", "manual") as bob:
            call_id = await here.call_from(alice)
            await here.ask(f"/{call_id}/transfer", to="bob", summary="wants a table")
            await bob.event("CALL_INCOMING")
            await here.phase(call_id, Phase.LIVE)  # the caller still talks to the bot
            await bob.command("accept")
            await here.phase(call_id, Phase.BRIDGED)
            assert (await here.agent.hear("ended"))["reason"] == "transferred"
            await talk_to_each_other(alice, bob)
            await bob.hang_up()
            await alice.event("CALL_CLOSED")
            assert [one["outcome"] for one in here.outcomes] == ["bridged"]
            assert await here.reason(call_id) == "transferred"

    asyncio.run(story())


def test_when_nobody_picks_up_the_caller_is_still_with_the_bot() -> None:
    async def story() -> None:
        async with office() as here, here.phone("alice") as alice, here.phone("bob", "manual") as bob:
            call_id = await here.call_from(alice)
            await here.ask(f"/{call_id}/transfer", to="bob", ring_timeout_s=0.5)
            await bob.event("CALL_INCOMING")
            await bob.event("CALL_CLOSED")
            assert [one["outcome"] for one in here.outcomes] == ["no_answer"]
            await here.phase(call_id, Phase.LIVE)
            await here.ask(f"/{call_id}/transfer", to="bob")
            await bob.event("CALL_INCOMING")
            await bob.hang_up()
            await until(lambda: len(here.outcomes) == 2)
            assert here.outcomes[1]["outcome"] in ("busy", "declined")
            await here.phase(call_id, Phase.LIVE)

    asyncio.run(story())


def test_a_cold_transfer_sends_the_callers_own_phone_there() -> None:
    async def story() -> None:
        async with office() as here, here.phone("alice") as alice, here.phone("bob") as bob:
            call_id = await here.call_from(alice)
            await here.ask(f"/{call_id}/transfer", to=f"sip:bob@127.0.0.1:{bob.sip_port}", warm=False)
            await bob.event("CALL_ESTABLISHED")
            assert await here.reason(call_id) == "transferred"
            assert [one["outcome"] for one in here.outcomes] == ["bridged"]
            assert here.gateway.phones is not None
            await until(lambda: here.gateway.phones is not None and not here.gateway.phones.active)
            await talk_to_each_other(alice, bob)
            await bob.hang_up()

    asyncio.run(story())


def test_a_cold_transfer_of_a_caller_without_a_phone_is_bridged_here() -> None:
    async def story() -> None:
        async with office() as here, caller(here.gateway) as line, here.phone("bob", "manual") as bob:
            call_id = await here.taken()
            await line.hear("answered")
            await here.ask(f"/{call_id}/transfer", to="bob", warm=False)
            await bob.event("CALL_INCOMING")
            ringing = np.frombuffer(await line.hear_audio_bytes(32000), np.int16)
            assert int(np.abs(ringing.astype(np.int32)).max()) > 500, "the caller hears it ring"
            await bob.command("accept")
            await here.phase(call_id, Phase.BRIDGED)
            await bob.say(SENTENCE)
            line.audio.clear()
            async with asyncio.timeout(10):
                while await loud(line, rate=16000) < 3000:
                    pass
            await line.say(event="hangup")
            await bob.event("CALL_CLOSED")
            assert await here.reason(call_id) == "transferred"

    asyncio.run(story())
