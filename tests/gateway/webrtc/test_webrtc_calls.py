"""Whole browser calls: a real gateway, real worker processes, and aiortc as the browser, on loopback.

They run against the wall clock, since peers in other processes know no other.
"""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiortc import RTCSessionDescription

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import METADATA_LIMIT
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer, Candidate, OfferRefused
from tests.support.browser_house import House, all_closed, an_offer, refused
from tests.support.browser_peer import CLAIMS, Browser, Cable, browser_calls, is_rtp, loudest_hz, tone, until
from tests.support.gateway_peers import agent, config

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]


def test_a_browser_and_an_agent_hear_each_other_until_the_tab_is_closed(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            offer, media = await one.take()
            assert offer["call_id"] == browser.call_id
            assert (offer["from_number"], offer["to_number"], offer["kind"]) == ("ada", "shop", "browser")
            assert (offer["metadata"], offer["caller_rate"]) == ({"table": 4}, 16000)
            browser.microphone.say(tone(700, 3))
            await media.socket.send(tone(440, 1, 16000).tobytes())
            heard = np.frombuffer(await media.hear_audio_bytes(64000), np.int16)  # 2 s
            assert abs(loudest_hz(heard[-8000:], 16000) - 700) < 5
            await until(lambda: browser.sound.size > 0.8 * 48000)
            assert abs(loudest_hz(browser.sound[-24000:], 48000) - 440) < 5
            loop = asyncio.get_running_loop()
            closed_at = loop.time()
            await browser.close()
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            assert loop.time() - closed_at < 2.0
            await all_closed(calls)
            assert (calls.half_open, calls.open_calls) == (0, 0)

    house.run(story())


def test_a_clear_silences_the_browser_at_once(house: House) -> None:
    async def story() -> None:
        async with house.call() as (_, browser, media):
            await media.socket.send(tone(440, 2, 16000).tobytes())
            await until(lambda: browser.sound.size > 0.3 * 48000)
            await media.say(event="clear", epoch=1)
            await media.hear("cleared")
            frames = len(browser.heard)
            await asyncio.sleep(0.5)  # the time in which nothing may come
            assert len(browser.heard) - frames <= 8  # what aiortc's jitter buffer held, and the closing frame
            await media.socket.send(tone(660, 0.6, 16000).tobytes())
            await until(lambda: len(browser.heard) - frames > 20)
            assert abs(loudest_hz(browser.sound[-12000:], 48000) - 660) < 5

    house.run(story())


def test_lost_packets_are_concealed_and_the_time_line_does_not_shrink(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with house.call() as (_, browser, media):
            cable, sent = Cable(browser), 0

            def every_fifth(data: bytes) -> bool:
                nonlocal sent
                sent += is_rtp(data)
                return is_rtp(data) and sent % 5 == 0

            browser.microphone.say(tone(500, 6))
            cable.drop = every_fifth
            await media.hear_audio(5)
            before, began = sent, asyncio.get_running_loop().time()
            pcm = b""
            while sent < before + 100:
                pcm += await media.hear_audio(1)
            spoken_s = asyncio.get_running_loop().time() - began
            assert len(pcm) / 32000 == pytest.approx(spoken_s, abs=0.25)
            heard = np.frombuffer(pcm, np.int16)[-16000:]
            assert abs(loudest_hz(heard, 16000) - 500) < 5
            quiet = [piece for piece in np.split(heard, 50) if np.abs(piece).max() < 1000]
            assert len(quiet) <= 2
            await browser.close()
            await until(lambda: calls.processes[0].ready and not house.gateway.switchboard.snapshot().calls)

    house.run(story())


# ---------------------------------------------------------------------- bad networks


def test_a_short_loss_of_the_network_is_survived_and_a_long_one_ends_the_call() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            browser_calls(gateway, grace_s=1.5) as calls,
        ):
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
            cable = Cable(browser)
            await media.hear_audio(5)
            cable.pull()
            await asyncio.sleep(0.8)
            cable.plug()
            media.audio.clear()
            await media.hear_audio(10)
            cable.pull()
            ended = await one.hear("ended")
            assert (ended["reason"], "the network was lost" in ended["detail"]) == ("caller_hangup", True)
            await browser.close()

    asyncio.run(story())


def test_a_browser_that_comes_again_has_its_call_still(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with house.call() as (one, browser, media):
            await media.hear_audio(5)
            Cable(browser).pull()
            again = Browser()
            again.microphone.say(tone(700, 5))
            other = CLAIMS.model_copy(update={"token_id": "token-2"})
            with pytest.raises(OfferRefused, match="another token"):
                await again.call(calls, other, pc_id=browser.pc_id, restart=True)
            await again.close()
            again = Browser()
            again.microphone.say(tone(700, 5))
            await again.call(calls, pc_id=browser.pc_id, restart=True)
            assert (again.pc_id, again.call_id) == (browser.pc_id, browser.call_id)
            await until(lambda: again.connection.connectionState == "connected")
            media.audio.clear()
            heard = np.frombuffer(await media.hear_audio_bytes(38400), np.int16)  # 1.2 s
            assert abs(loudest_hz(heard[-8000:], 16000) - 700) < 5
            await media.socket.send(tone(440, 1, 16000).tobytes())
            await until(lambda: again.sound.size > 0.5 * 48000)
            await browser.close()
            await again.close()
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            assert (await refused(calls, await an_offer(), browser.pc_id))[0] == 404

    house.run(story())


def test_a_token_has_its_share_of_calls_and_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = house.calls
    monkeypatch.setattr(calls, "_calls_per_token", 1)

    async def story() -> None:
        async with house.call() as (one, browser, _):
            status, said = await refused(calls, await an_offer())
            assert (status, said) == (429, "calls of this token under way: 1, and more are not taken at once")
            other = Browser()
            await other.call(calls, CLAIMS.model_copy(update={"token_id": "token-2"}))
            await one.take()
            await other.close()
            await browser.close()
            await until(lambda: calls.open_calls == 0)
            again = Browser()
            await again.call(calls)
            await one.take()
            await again.close()

    house.run(story())


def test_candidates_may_come_behind_the_offer(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            offer = await browser.offer()
            lines = offer.sdp.splitlines(keepends=True)
            found = [line.strip().removeprefix("a=") for line in lines if line.startswith("a=candidate")]
            bare = "".join(line for line in lines if not line.startswith(("a=candidate", "a=end-of")))
            large = BrowserOffer(sdp=bare, request_data={"essay": "x" * METADATA_LIMIT})
            with pytest.raises(OfferRefused, match=f"at most {METADATA_LIMIT} bytes"):
                await calls.offer(large, CLAIMS.model_copy(update={"metadata": None}))
            answer = await calls.offer(BrowserOffer(sdp=bare, request_data={"mine": True}), CLAIMS)
            broken = Candidate(candidate="candidate:nonsense", sdp_mid="0", sdp_mline_index=0)
            await calls.candidates(
                answer.pc_id, [broken, Candidate(candidate=found[0], sdp_mid="0", sdp_mline_index=0)]
            )
            await browser.connection.setRemoteDescription(
                RTCSessionDescription(sdp=answer.sdp, type="answer")
            )
            taken, _ = await one.take()
            assert taken["metadata"] == {"table": 4}
            with pytest.raises(OfferRefused, match="no such peer connection"):
                await calls.candidates("somebody-else", [])
            await browser.close()

    house.run(story())
