"""Callers are handed over between real telephones: warm, blind, to nobody, to somebody who has no time.

In real time, because telephones and their sockets know no other.
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
from piopiy_pipeline.session import Call
from tests.support.baresip import Baresip
from tests.support.bots import voice
from tests.support.calls import house
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, config
from tests.support.phone_calls import answered, ended, hears_tone, loud, phone_of, phones_of, tone_file

pytestmark = pytest.mark.realtime

ANNS, BOBS = 500.0, 800.0
"""The tones of their voices, in Hz."""


@dataclass
class Story:
    """Ann is on the phone with the bot; Bob has a phone, too."""

    gateway: Gateway
    bot: ScriptedAgent
    ann: Baresip
    bob: Baresip
    offer: dict[str, Any]
    media: Peer

    async def transfer(self, to: str = "kitchen", *, warm: bool, ring_timeout_s: float = 20) -> None:
        """The bot asks for it."""
        await self.bot.say(
            type="transfer",
            call_id=self.offer["call_id"],
            request_id="t1",
            to=to,
            warm=warm,
            summary="wants a table",
            ring_timeout_s=ring_timeout_s,
        )

    async def outcome(self) -> str:
        """What the bot is told."""
        told = await self.bot.hear("transfer_result")
        assert told["request_id"] == "t1"
        return str(told["outcome"])

    async def talk(self, folder: Path) -> None:
        """Both speak, until each has heard the other for a while."""
        await self.ann.say(tone_file(folder, ANNS))
        await self.bob.say(tone_file(folder, BOBS))
        await hears_tone(self.ann, BOBS)
        await hears_tone(self.bob, ANNS)


@asynccontextmanager
async def story(bobs_account: str = ";answermode=manual", **sip: Any) -> AsyncIterator[Story]:
    settings = {
        "port": 0,
        "users": {"ann": "secret", "bob": "secret"},
        "routes": [{"to": "555*", "agent": AGENT_ID}],
        "contacts": {"kitchen": "bob"},
        **sip,
    }
    async with (
        Gateway(config(sip=settings, offer_ms=30_000)) as gateway,
        agent(gateway) as bot,
        phone_of(gateway, "ann") as ann,
        phone_of(gateway, "bob", account=bobs_account) as bob,
    ):
        offer, media = await answered(gateway, bot, ann)
        yield Story(gateway, bot, ann, bob, offer, media)


@pytest.mark.parametrize("who", ["ann", "bob"])
def test_a_caller_talks_on_while_it_rings_then_both_hear_each_other_and_whoever_hangs_up_ends_it_for_both(
    who: str, tmp_path: Path
) -> None:
    async def tell() -> None:
        async with story() as here:
            await here.ann.say(tone_file(tmp_path, ANNS))
            await here.transfer(warm=True)
            incoming = await here.bob.event("CALL_INCOMING")
            assert "ann" in incoming["peeruri"]
            here.media.audio.clear()
            while await loud(here.media) < 3000:  # Bob's phone rings, and the bot hears Ann
                pass
            await here.bob.command("accept")
            assert await here.outcome() == "bridged"
            assert (await here.bot.hear("ended"))["reason"] == "transferred"
            await here.talk(tmp_path)
            leaving, left = (here.ann, here.bob) if who == "ann" else (here.bob, here.ann)
            await leaving.hang_up()
            await left.event("CALL_CLOSED")
            assert (await ended(here.gateway)).reason is EndReason.TRANSFERRED
            assert not phones_of(here.gateway).active

    asyncio.run(tell())


def test_when_nobody_answers_the_phone_stops_ringing_and_the_bot_goes_on_with_the_caller(
    tmp_path: Path,
) -> None:
    async def tell() -> None:
        async with story() as here:
            await here.transfer(warm=True, ring_timeout_s=1)
            await here.bob.event("CALL_INCOMING")
            assert await here.outcome() == "no_answer"
            await here.bob.event("CALL_CLOSED")
            await here.ann.say(tone_file(tmp_path, ANNS))
            here.media.audio.clear()
            while await loud(here.media) < 3000:
                pass
            [call] = here.gateway.switchboard.snapshot().calls
            assert call.phase == "live"

    asyncio.run(tell())


@pytest.mark.parametrize("warm", [True, False])
def test_a_refusal_is_told_and_the_caller_is_the_bots_again(warm: bool, tmp_path: Path) -> None:
    async def tell() -> None:
        async with story() as here:
            await here.transfer(warm=warm)
            await here.bob.event("CALL_INCOMING")
            await here.bob.hang_up()
            assert await here.outcome() == "busy"  # 486, which is how this phone refuses
            await here.ann.say(tone_file(tmp_path, ANNS))
            here.media.audio.clear()
            while await loud(here.media) < 3000:
                pass

    asyncio.run(tell())


def test_a_callers_own_phone_calls_an_address_when_it_is_sent_there(tmp_path: Path) -> None:
    """By REFER: the gateway is out of it, and the two phones go on."""

    async def tell() -> None:
        async with story(";answermode=auto", allow_uris=True) as here:
            await here.transfer(f"sip:bob@127.0.0.1:{here.bob.sip_port}", warm=False)
            established = await here.bob.event("CALL_ESTABLISHED")
            assert "ann" in established["peeruri"]
            assert await here.outcome() == "bridged"
            assert (await ended(here.gateway)).reason is EndReason.TRANSFERRED
            assert not phones_of(here.gateway).active
            await here.talk(tmp_path)

    asyncio.run(tell())


def test_a_caller_who_is_sent_to_nobody_comes_back_to_the_bot() -> None:
    """The phone says by NOTIFY that it got nowhere; then the gateway dials, which gets nowhere either."""

    async def tell() -> None:
        async with story(allow_uris=True, users={"ann": "secret", "bob": "secret"}) as here:
            await here.transfer(f"sip:nobody@127.0.0.1:{here.bob.sip_port}", warm=False)
            assert await here.outcome() == "unreachable"
            [call] = here.gateway.switchboard.snapshot().calls
            assert call.phase == "live"

    asyncio.run(tell())


def test_a_user_of_the_gateway_is_connected_from_here_and_the_caller_hears_it_ring(tmp_path: Path) -> None:
    async def tell() -> None:
        async with story() as here:
            await here.transfer("bob", warm=False)
            await here.bob.event("CALL_INCOMING")
            [call] = here.gateway.switchboard._calls.values()
            assert call.media_path.held
            await here.bob.command("accept")
            assert await here.outcome() == "bridged"
            await here.talk(tmp_path)
            await here.ann.hang_up()
            await here.bob.event("CALL_CLOSED")

    asyncio.run(tell())


def test_a_bot_hands_its_caller_over_when_it_is_asked_to_and_goes_on_while_nobody_has_time(
    tmp_path: Path,
) -> None:
    """A bot of this library: a key has it ring in the kitchen."""
    outcomes: list[str] = []

    async def bot(call: Call) -> None:
        talks = await voice(call, greeting="Hello.")

        async def key(digits: str) -> None:
            outcome = await talks.transfer(
                "kitchen", summary="hungry", ring_timeout_s=2 if digits == "1" else 20
            )
            outcomes.append(outcome.outcome)
            if not outcome.bridged:
                await talks.say("Nobody is in the kitchen.")

        talks.on("dtmf", key)
        await talks.start()

    async def tell() -> None:
        sip = {
            "port": 0,
            "users": {"ann": "secret", "bob": "secret"},
            "default_agent": "test-agent",
            "contacts": {"kitchen": "bob"},
        }
        async with (
            house(bot, sip=sip, offer_ms=5000) as here,
            phone_of(here.gateway, "ann") as ann,
            phone_of(here.gateway, "bob", account=";answermode=manual") as bob,
        ):
            await ann.dial(f"sip:kitchen@127.0.0.1:{phones_of(here.gateway).port}")
            await hears_tone(ann, 300, 0.2)  # the greeting
            await ann.press("1")
            await bob.event("CALL_INCOMING")
            await bob.event("CALL_CLOSED")
            await hears_tone(ann, 300, 1.4)  # that nobody is there
            await ann.press("2")
            await bob.event("CALL_INCOMING")
            await bob.command("accept")
            await ann.say(tone_file(tmp_path, ANNS))
            await bob.event("CALL_ESTABLISHED")
            await bob.say(tone_file(tmp_path, BOBS))
            await hears_tone(ann, BOBS)
            await hears_tone(bob, ANNS)
            await ann.hang_up()
            await bob.event("CALL_CLOSED")
            assert outcomes == ["no_answer", "bridged"]

    asyncio.run(tell())
