"""Another real telephone, Linphone, calls a real gateway and is called: its SIP, its codecs, its keys.

In real time, because a telephone and its sockets know no other.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.call import CallInfo, EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.dialling import DialRequest
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, config
from tests.support.linphone import Linphone, linphone_of, needs_linphone
from tests.support.phone_calls import ended, loud, phones_of, tone_file

pytestmark = [pytest.mark.realtime, needs_linphone]

SIP: dict[str, Any] = {"port": 0, "users": {"alice": "secret"}, "routes": [{"to": "555*", "agent": AGENT_ID}]}


async def call(gateway: Gateway, one: ScriptedAgent, phone: Linphone) -> tuple[dict[str, Any], Peer]:
    """A call of the phone's that the scripted agent has taken: the offer, and its media stream."""
    await phone.command(f"call sip:5551234@127.0.0.1:{phones_of(gateway).port}")
    offer = await one.offer()
    taken = await one.take(offer, caller_rate=offer["caller_rate"], bot_rate=offer["caller_rate"])
    await phone.says("Media streams established")
    return taken


async def keys(media: Peer, count: int) -> str:
    return "".join([(await media.hear("dtmf"))["digits"] for _ in range(count)])


@pytest.mark.parametrize(("codec", "rate"), [("opus", 48_000), ("PCMU", 8000), ("G722", 8000)])
def test_both_hear_each_other_and_the_bot_hears_its_keys(codec: str, rate: int, tmp_path: Path) -> None:
    recorded = tmp_path / "heard.wav"

    async def story() -> None:
        async with Gateway(config(sip=SIP)) as gateway, agent(gateway) as one, linphone_of(gateway) as phone:
            await phone.only_codec(codec, rate)
            await phone.command(f"play {tone_file(tmp_path, 400)}")
            await phone.command(f"record {recorded}")
            offer, media = await call(gateway, one, phone)
            assert offer["caller_rate"] == (8000 if codec.startswith("PCM") else 16_000)
            assert offer["metadata"]["sip"]["headers"]["User-Agent"].startswith("Linphone")
            while await loud(media) < 3000:
                pass
            await phone.press("133#")
            assert await keys(media, 4) == "133#"
            at = np.arange(2 * offer["caller_rate"]) / offer["caller_rate"]
            tone = (8000 * np.sin(2 * np.pi * 500 * at)).astype("<i2").tobytes()
            await media.socket.send(tone)
            while not (await media.hear("played"))["dry"]:
                pass
            await phone.command("terminate")
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            await phone.says("ended")

    asyncio.run(story())
    heard = np.frombuffer(recorded.read_bytes()[44:], "<i2")
    assert np.abs(heard.astype(np.int32)).max() > 5000


@pytest.mark.parametrize("events", [False, True])
def test_its_keys_by_info_and_by_both_ways_count_once(events: bool) -> None:
    async def story() -> None:
        async with (
            Gateway(config(sip=SIP)) as gateway,
            agent(gateway) as one,
            linphone_of(gateway, info=True, events=events) as phone,
        ):
            _, media = await call(gateway, one, phone)
            await phone.press("133#")
            assert await keys(media, 4) == "133#"
            await phone.press("0")
            assert await keys(media, 1) == "0"

    asyncio.run(story())


def test_it_is_called_and_answers() -> None:
    async def story() -> None:
        async with (
            Gateway(config(sip=SIP, offer_ms=30_000)) as gateway,
            agent(gateway) as one,
            linphone_of(gateway) as phone,
        ):
            info = CallInfo(AGENT_ID, "call-1", from_number="5550000", to_number="alice", kind="phone")
            now = asyncio.get_running_loop().time()
            gateway.switchboard.dial(info, DialRequest("alice", "5550000"), ring_timeout_s=10, now=now)
            await phone.says("incoming call from sip:5550000@")
            await phone.command("answer")
            offer = await one.offer()
            _, media = await one.take(offer, caller_rate=offer["caller_rate"], bot_rate=offer["caller_rate"])
            await media.hear_audio(10)
            await phone.press("4")
            assert await keys(media, 1) == "4"
            await one.hangup(offer)
            await phone.says("ended")
            assert (await ended(gateway)).reason is EndReason.AGENT_HANGUP

    asyncio.run(story())
