"""A real telephone, baresip, calls a real gateway: registers, talks to the bot, holds, presses keys, hangs up.

In real time, because a telephone and its sockets know no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from examples import front_desk
from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.dialling import DialRequest
from piopiy_pipeline.gateway.core.event_bus import BusEvent, ConversationReported
from piopiy_pipeline.services.providers import prepare
from tests.support.calls import house
from tests.support.gateway_peers import AGENT_ID, agent, config, until
from tests.support.offline import AUDIO
from tests.support.phone_calls import answered, ended, loud, phone_of, phones_of, recognised

pytestmark = pytest.mark.realtime

SIP: dict[str, Any] = {"port": 0, "users": {"alice": "secret"}, "routes": [{"to": "555*", "agent": AGENT_ID}]}


# ---------------------------------------------------------------------- a conversation


@pytest.mark.main_job
def test_a_phone_books_a_table_hears_the_confirmation_and_is_hung_up_on_politely(
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
        settings = {**SIP, "routes": [{"to": "555*", "agent": "test-agent"}]}
        async with house(front_desk.on_new_session, sip=settings) as place, phone_of(place.gateway) as phone:
            place.gateway.switchboard.event_bus.subscribe(watch)
            await phone.dial(f"sip:5551234@127.0.0.1:{phones_of(place.gateway).port}")
            for number, wav in enumerate(("01-people", "02-when", "03-yes", "04-goodbye"), 1):
                await until(lambda number=number: turns() >= number)  # type: ignore[misc]
                await phone.say(AUDIO / "booking" / f"{wav}.wav")
            await phone.event("CALL_CLOSED")
            record = await ended(place.gateway)
            assert record.reason is EndReason.AGENT_HANGUP
            assert (record.from_number, record.to_number, record.kind) == ("alice", "5551234", "phone")
            return phone.heard()

    understood = asyncio.run(recognised(asyncio.run(story())))
    assert '"people": 4, "day": "Friday", "time": "19:00"' in (tmp_path / "bookings.jsonl").read_text()
    confirmation = next(text for text in understood if "booked" in text)
    assert confirmation.startswith("a table for four friday")
    assert understood[-1].endswith("goodbye")


# ---------------------------------------------------------------------- what a phone can do


def test_both_hear_each_other_and_the_keys_of_both() -> None:
    async def story() -> None:
        async with Gateway(config(sip=SIP)) as gateway, agent(gateway) as one, phone_of(gateway) as phone:
            offer, media = await answered(gateway, one, phone)
            assert offer["metadata"]["sip"]["headers"]["User-Agent"].startswith("baresip")
            await phone.press("17#")
            assert [(await media.hear("dtmf"))["digits"] for _ in range(3)] == ["1", "7", "#"]
            await phone.say(AUDIO / "booking" / "01-people.wav")
            while await loud(media) < 3000:
                pass
            await media.say(event="dtmf", digits="4*")
            for key in "4*":
                assert (await phone.event("CALL_DTMF_START"))["param"] == key
                await phone.event("CALL_DTMF_END")
            tone = (8000 * np.sin(2 * np.pi * 500 * np.arange(8000) / 8000)).astype("<i2").tobytes()
            await media.socket.send(tone)
            while not (await media.hear("played"))["dry"]:
                pass
            media.audio.clear()
            await media.hear_audio_bytes(9600)  # the phone's recording is written a piece at a time
            await phone.hang_up()
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            heard = phone.heard().astype(np.float64)
            spectrum = np.abs(np.fft.rfft(heard))
            assert abs(int(spectrum.argmax()) * 8000 / heard.size - 500) < 5
            assert (np.abs(heard) > 5000).sum() == pytest.approx(8000 * 5 / 8, rel=0.05)

    asyncio.run(story())


def test_the_keys_of_both_are_heard_beside_opus() -> None:
    """baresip has `telephone-event/8000` only."""

    async def story() -> None:
        async with (
            Gateway(config(sip=SIP)) as gateway,
            agent(gateway) as one,
            phone_of(gateway, rate=48_000, codecs="opus.so") as phone,
        ):
            offer, media = await answered(gateway, one, phone)
            assert offer["caller_rate"] == 16_000
            await phone.press("17#")
            assert [(await media.hear("dtmf"))["digits"] for _ in range(3)] == ["1", "7", "#"]
            await media.say(event="dtmf", digits="4*")
            for key in "4*":
                assert (await phone.event("CALL_DTMF_START"))["param"] == key
                await phone.event("CALL_DTMF_END")
            await phone.hang_up()

    asyncio.run(story())


def test_on_hold_neither_hears_the_other_and_then_both_do() -> None:
    async def story() -> None:
        async with Gateway(config(sip=SIP)) as gateway, agent(gateway) as one, phone_of(gateway) as phone:
            _, media = await answered(gateway, one, phone)
            await phone.say(*[AUDIO / "booking" / "01-people.wav"] * 20)
            while await loud(media) < 3000:
                pass
            await phone.command("hold")
            while await loud(media, 1) > 0:
                pass
            [call] = gateway.switchboard.snapshot().calls
            assert call.phase == "live"
            await phone.command("resume")
            while await loud(media) < 3000:
                pass

    asyncio.run(story())


@pytest.mark.parametrize(
    ("codec", "module", "rate"), [("G722", "g722.so", 16000), ("opus", "opus.so", 16000)]
)
def test_wideband_phones_are_heard_at_16_khz(codec: str, module: str, rate: int) -> None:
    async def story() -> None:
        sip = {**SIP, "codecs": [codec]}
        async with (
            Gateway(config(sip=sip)) as gateway,
            agent(gateway) as one,
            phone_of(gateway, codecs=module, rate=48000 if codec == "opus" else 16000) as phone,
        ):
            offer, media = await answered(gateway, one, phone)
            assert offer["caller_rate"] == rate
            await phone.say(AUDIO / "booking" / "01-people.wav")
            while await loud(media) < 3000:
                pass
            await media.socket.send((8000 * np.sin(np.arange(16000) / 5)).astype("<i2").tobytes())
            while not (await media.hear("played"))["dry"]:
                pass
            media.audio.clear()
            await media.hear_audio_bytes(19200)
            await phone.hang_up()
            await one.hear("ended")
            assert np.abs(phone.heard()).max() > 5000

    asyncio.run(story())


def test_a_call_over_tcp_with_reports_on_the_port_of_the_voice() -> None:
    async def story() -> None:
        async with (
            Gateway(config(sip=SIP)) as gateway,
            agent(gateway) as one,
            phone_of(gateway, transport="tcp", mux=True) as phone,
        ):
            offer, media = await answered(gateway, one, phone)
            await media.hear_audio(10)
            await one.hangup(offer)
            await phone.event("CALL_CLOSED")
            assert (await ended(gateway)).reason is EndReason.AGENT_HANGUP

    asyncio.run(story())


def test_the_gateway_calls_a_phone_and_an_agent_talks_to_whoever_picks_up() -> None:
    async def story() -> None:
        async with (
            # A busy machine may need its time until the agent has taken what the phone has picked up.
            Gateway(config(sip=SIP, offer_ms=30_000)) as gateway,
            agent(gateway) as one,
            phone_of(gateway, account=";answermode=auto") as phone,
        ):
            info = CallInfo(AGENT_ID, "call-1", from_number="5550000", to_number="alice", kind="phone")
            now = asyncio.get_running_loop().time()
            gateway.switchboard.dial(info, DialRequest("alice", "5550000"), ring_timeout_s=10, now=now)
            incoming = await phone.event("CALL_ESTABLISHED")
            assert incoming["direction"] == "incoming"
            assert "5550000" in incoming["peeruri"]
            offer = await one.offer()
            assert (offer["to_number"], offer["kind"]) == ("alice", "phone")
            _, media = await one.take(offer, caller_rate=offer["caller_rate"], bot_rate=offer["caller_rate"])
            await phone.say(AUDIO / "booking" / "01-people.wav")
            while await loud(media) < 3000:
                pass
            await one.hangup(offer)
            await phone.event("CALL_CLOSED")
            assert (await ended(gateway)).reason is EndReason.AGENT_HANGUP

    asyncio.run(story())


def test_a_phone_that_does_not_pick_up_is_let_go_and_the_record_says_so() -> None:
    async def story() -> None:
        async with (
            Gateway(config(sip=SIP)) as gateway,
            agent(gateway),
            phone_of(gateway, account=";answermode=manual") as phone,
        ):
            info = CallInfo(AGENT_ID, "call-1", to_number="alice", kind="phone")
            now = asyncio.get_running_loop().time()
            gateway.switchboard.dial(info, DialRequest("alice"), ring_timeout_s=0.5, now=now)
            await phone.event("CALL_CLOSED")
            assert (await ended(gateway)).reason is EndReason.NO_ANSWER
            assert not phones_of(gateway).active

    asyncio.run(story())


def test_a_phone_that_is_cut_off_is_missed_and_the_call_ends() -> None:
    async def story() -> None:
        sip = {**SIP, "media_timeout_s": 0.5}
        async with Gateway(config(sip=sip)) as gateway, agent(gateway) as one, phone_of(gateway) as phone:
            _, media = await answered(gateway, one, phone)
            await media.hear_audio(10)
            phone.die()
            record = await ended(gateway)
            assert record.reason is EndReason.CALLER_HANGUP
            assert "media lost" in record.detail
            assert not phones_of(gateway).active

    asyncio.run(story())


def test_nobody_at_home_is_said_by_the_status() -> None:
    async def story() -> None:
        async with Gateway(config(sip=SIP)) as gateway, phone_of(gateway) as phone:
            await phone.command("dial", f"sip:5551234@127.0.0.1:{phones_of(gateway).port}")
            assert "480" in (await phone.event("CALL_CLOSED"))["param"]
            await phone.command("dial", f"sip:12@127.0.0.1:{phones_of(gateway).port}")
            assert "404" in (await phone.event("CALL_CLOSED"))["param"]

    asyncio.run(story())
