"""Offers that cannot be answered, floods of them, and leg processes that are killed.

They run against the wall clock, since peers in other processes know no other.
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.webrtc.browser_call import BrowserCall
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer, OfferRefused
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.browser_house import House, all_closed, an_offer, refused
from tests.support.browser_peer import CLAIMS, Browser, browser_calls, loudest_hz, tone, until
from tests.support.gateway_peers import agent, config

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]


A_CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\n"


def test_offers_that_cannot_be_answered_are_refused_with_a_sentence(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        good = await an_offer()
        silent = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        silent.createDataChannel("chat")
        await silent.setLocalDescription(await silent.createOffer())
        without_audio = silent.localDescription.sdp
        await silent.close()
        cases = {
            "hello": "does not begin with v=0",
            without_audio: "no audio",
            good.replace("m=audio", "m=audio x\r\nm=audio", 1): "cannot be read",
            good.replace(" opus/48000/2", " speex/16000").replace("m=audio", "m=audio", 1): "no Opus",
            good.replace("a=sendrecv", "a=inactive"): "inactive",
            good.replace("a=fingerprint", "a=finger"): "fingerprint",
            good.replace("a=ice-ufrag", "a=ice-u"): "ICE user name",
            good[:200] + "\nm=audio": "",
            good.replace(" opus/48000/2", " opus/16000"): "cannot be answered",
            good.replace("a=end-of-candidates", 300 * A_CANDIDATE + "a=end-of-candidates"): "more than 64",
        }
        for sdp, part in cases.items():
            status, text = await refused(calls, sdp)
            assert (status, part in text) == (400, True), text
        await all_closed(calls)
        assert (calls.half_open, calls.open_calls) == (0, 0)
        assert calls.processes[0].restarts == 0

    house.run(story())


def test_offers_of_one_browser_do_not_pile_up(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with house.call() as (one, browser, _):
            sdp = await an_offer()
            more = [
                calls.offer(BrowserOffer(sdp=sdp, pc_id=browser.pc_id, restart_pc=True), CLAIMS)
                for _ in range(20)
            ]
            results = await asyncio.gather(*more, return_exceptions=True)
            refusals = [one for one in results if isinstance(one, OfferRefused)]
            assert (len(refusals), {one.status for one in refusals}) == (17, {409})
            await one.hangup({"call_id": browser.call_id})

    house.run(story())


def test_a_checkpoint_is_unused_until_its_call_was_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    unused: list[str] = []
    placed = SimpleNamespace(answered_at=None)

    async def place_of(_: WebRtcCalls) -> SimpleNamespace:
        return SimpleNamespace(post=lambda _: None, release=lambda: None)

    async def answer(call: BrowserCall, *_: object, **__: object) -> str:
        return "v=0"

    monkeypatch.setattr(WebRtcCalls, "_take_place", place_of)
    monkeypatch.setattr(BrowserCall, "negotiate", answer)

    async def story(how: str, *, connected: bool, answered_at: float | None) -> None:
        calls = WebRtcCalls(place=lambda *_: cast(Any, placed), workers=1)
        offer = BrowserOffer(sdp="v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n")
        begun = await calls.offer(offer, CLAIMS, {"version": 2}, lambda: unused.append(how))
        call = calls._calls[begun.pc_id]
        if connected:
            call.gateway_call = calls._connected(call)
        placed.answered_at = answered_at
        call.close_peer()

    asyncio.run(story("not connected", connected=False, answered_at=None))
    asyncio.run(story("nobody took the call", connected=True, answered_at=None))
    asyncio.run(story("it goes on", connected=True, answered_at=1.0))
    assert unused == ["not connected", "nobody took the call"]


def test_without_workers_an_offer_is_503() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, browser_calls(gateway, workers=0) as calls:
            assert (await refused(calls, "v=0\nm=audio"))[0] == 503

    asyncio.run(story())


def test_two_hundred_offers_that_nobody_follows_up_disturb_no_call_and_leave_nothing() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            browser_calls(gateway, connect_s=2.5) as calls,
        ):
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
            browser.microphone.say(tone(700, 20))
            await media.hear_audio(5)
            sdp = await an_offer()
            tries = [calls.offer(BrowserOffer(sdp=sdp), CLAIMS) for _ in range(200)]
            results = await asyncio.gather(*tries, return_exceptions=True)
            refusals = [one for one in results if isinstance(one, OfferRefused)]
            assert (len(refusals), {one.status for one in refusals}) == (200 - 64, {503})
            assert calls.half_open == 64
            await until(lambda: calls.half_open == 0)
            await all_closed(calls, but=1)
            assert len(gateway.switchboard.snapshot().calls) == 1
            media.audio.clear()
            heard = np.frombuffer(await media.hear_audio_bytes(32000), np.int16)  # 1 s
            assert abs(loudest_hz(heard[-8000:], 16000) - 700) < 5
            await browser.close()

    asyncio.run(story())


def test_a_worker_that_is_killed_takes_its_calls_along_and_no_others() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            browser_calls(gateway, workers=2) as calls,
        ):
            browsers = [Browser(), Browser()]
            medias = []
            for browser in browsers:
                await browser.call(calls)
                medias.append((await one.take())[1])
            victim = calls.processes[0]
            assert victim.pid is not None
            os.kill(victim.pid, signal.SIGKILL)
            ended = await one.hear("ended")
            assert (ended["reason"], ended["detail"]) == ("error", "the browser leg's process was lost")
            assert ended["call_id"] == browsers[0].call_id
            medias[1].audio.clear()
            await medias[1].hear_audio(10)
            await until(lambda: victim.ready)
            third = Browser()
            await third.call(calls)
            await one.take()
            for browser in (*browsers, third):
                await browser.close()

    asyncio.run(story())
