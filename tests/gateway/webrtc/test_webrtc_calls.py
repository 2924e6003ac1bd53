"""Whole browser calls: a real gateway, real worker processes, and aiortc as the browser, on loopback.

They run against the wall clock, since peers in other processes know no other.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer, Candidate, OfferRefused
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.browser_peer import (
    CLAIMS,
    Browser,
    Cable,
    browser_calls,
    is_rtp,
    loudest_hz,
    only_loopback,
    tone,
    until,
)
from tests.support.gateway_peers import agent, config

__all__ = ["only_loopback"]

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("only_loopback")]


A_CANDIDATE = "a=candidate:1 1 udp 2130706431 192.0.2.1 9 typ host\r\n"


@dataclass
class House:
    """A gateway and one leg process that all tests of a module share, since a worker takes a second to start."""

    runner: asyncio.Runner
    gateway: Gateway
    calls: WebRtcCalls

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Run a test's story. Whatever it was, nothing may be left of it."""

        async def whole() -> None:
            try:
                await story
            except BaseException:  # the tests behind it begin with nothing too
                for call in tuple(self.calls._calls.values()):
                    call.fail(EndReason.ERROR, "the test failed")
                raise
            await until(lambda: not self.calls.open_calls and not self.gateway.switchboard.snapshot().calls)
            await all_closed(self.calls)
            assert (self.calls.half_open, self.calls.processes[0].restarts) == (0, 0)

        self.runner.run(whole())


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    stack = AsyncExitStack()

    async def build() -> tuple[Gateway, WebRtcCalls]:
        gateway = await stack.enter_async_context(Gateway(config()))
        return gateway, await stack.enter_async_context(browser_calls(gateway))

    with asyncio.Runner() as runner:
        gateway, calls = runner.run(build())
        yield House(runner, gateway, calls)
        runner.run(stack.aclose())


async def refused(calls: WebRtcCalls, sdp: str, pc_id: str | None = None) -> tuple[int, str]:
    """The status and the sentence with which an offer is refused."""
    with pytest.raises(OfferRefused) as raised:
        await calls.offer(BrowserOffer(sdp=sdp, pc_id=pc_id), CLAIMS)
    return raised.value.status, raised.value.text


async def an_offer() -> str:
    """The SDP of a browser that is closed again at once."""
    browser = Browser()
    sdp = (await browser.offer()).sdp
    await browser.close()
    return sdp


async def all_closed(calls: WebRtcCalls, *, but: int = 0) -> None:
    """Wait until the worker has no more peers and connections than these; closing takes a moment."""
    for _ in range(100):
        [census] = await calls.census()
        if (census.legs, census.connections) == (but, but):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"still there: {census}")


# ---------------------------------------------------------------------- sound


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
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
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
            await browser.close()

    house.run(story())


def test_lost_packets_are_concealed_and_the_time_line_does_not_shrink(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
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


# ---------------------------------------------------------------------- messages


def test_messages_and_keys_pass_and_signalling_does_not(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
            await until(lambda: browser.channel.readyState == "open")
            browser.channel.send("ping: 1")
            browser.channel.send("no JSON at all")
            browser.channel.send("[1]")
            browser.say(
                {
                    "type": "signalling",
                    "message": {"type": "trackStatus", "receiver_index": 0, "enabled": True},
                }
            )
            browser.say({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {}})
            browser.say({"type": "dtmf", "digits": "12#"})
            browser.say({"type": "dtmf", "digits": "not keys"})
            browser.say({"cart": [1, 2]})
            assert (await media.hear("message", "dtmf"))["data"]["type"] == "client-ready"
            assert (await media.hear("message", "dtmf"))["digits"] == "12#"
            assert (await media.hear("message", "dtmf"))["data"] == {"cart": [1, 2]}
            await media.say(event="message", data={"label": "rtvi-ai", "type": "bot-ready"})
            await media.say(event="dtmf", digits="5")
            await until(lambda: len(browser.messages) == 2)
            assert browser.messages == [
                {"label": "rtvi-ai", "type": "bot-ready"},
                {"type": "dtmf", "digits": "5"},
            ]
            await one.hangup({"call_id": browser.call_id})
            await until(lambda: len(browser.messages) == 3)
            assert browser.messages[2] == {"type": "signalling", "message": {"type": "peerLeft"}}
            await until(lambda: browser.connection.connectionState == "closed")
            await until(lambda: calls.open_calls == 0)
            await all_closed(calls)
            await browser.close()

    house.run(story())


def test_a_flood_of_messages_ends_that_call_with_a_sentence(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            await one.take()
            await until(lambda: browser.channel.readyState == "open")
            for number in range(300):
                browser.say({"number": number})
            ended = await one.hear("ended")
            assert (ended["reason"], "messages a second" in ended["detail"]) == ("caller_hangup", True)
            await browser.close()

    house.run(story())


def test_what_nobody_can_pass_on_is_left_out_and_harms_no_call(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser, other = Browser(), Browser()
            await browser.call(calls)
            _, media = await one.take()
            await other.call(calls)
            await one.take()
            await until(lambda: browser.channel.readyState == "open")
            for depth in (195, 230, 900, 20_000):
                browser.channel.send('{"a":' + depth * "[" + depth * "]" + "}")
            browser.channel.send('{"a":"\\ud800"}')
            browser.channel.send('{"a":NaN}')
            browser.channel.send('{"a":[' + ",".join(9_000 * ["1e15"]) + "]}")
            deep: dict[str, Any] = {"a": {}}
            for _ in range(100):
                deep = {"a": deep}
            browser.say(deep)
            browser.say({"the": "last"})
            assert (await media.hear("message"))["data"] == deep
            assert (await media.hear("message"))["data"] == {"the": "last"}
            assert len(house.gateway.switchboard.snapshot().calls) == 2
            await browser.close()
            await other.close()

    house.run(story())


def test_a_browser_that_takes_only_short_messages_gets_those(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            offer = await browser.offer()
            sdp, changed = re.subn(r"a=max-message-size:\d+", "a=max-message-size:40", offer.sdp)
            assert changed == 1
            answer = await calls.offer(BrowserOffer(sdp=sdp), CLAIMS)
            await browser.connection.setRemoteDescription(
                RTCSessionDescription(sdp=answer.sdp, type="answer")
            )
            _, media = await one.take()
            await until(lambda: browser.channel.readyState == "open")
            await media.say(event="message", data={"long": "x" * 60})
            await media.say(event="message", data={"short": "x"})
            await until(lambda: browser.messages)
            assert browser.messages == [{"short": "x"}]
            await browser.close()

    house.run(story())


def test_a_message_that_is_too_long_ends_that_call_with_a_sentence(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            await one.take()
            await until(lambda: browser.channel.readyState == "open")
            browser.channel.send("x" * 60_000)
            ended = await one.hear("ended")
            assert "a message of 60000 bytes" in ended["detail"]
            await browser.close()

    house.run(story())


def test_a_message_without_an_end_is_not_gathered_for_ever(house: House) -> None:
    calls = house.calls

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            await one.take()
            await until(lambda: browser.channel.readyState == "open")
            assert browser.connection.sctp is not None
            vars(browser.connection.sctp)["_remote_max_message_size"] = 0  # it does not care what we take
            browser.channel.send("x" * 6_000_000)
            assert (await one.hear("ended"))["detail"] == "the browser sent a message without an end"
            await browser.close()

    house.run(story())


def test_a_failure_in_one_call_ends_that_and_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = house.calls

    def fail(heard: object) -> None:
        raise RuntimeError("a test's")

    async def story() -> None:
        async with agent(house.gateway) as one:
            browser, other = Browser(), Browser()
            await browser.call(calls)
            offer, _ = await one.take()
            await other.call(calls)
            _, media = await one.take()
            await until(lambda: browser.channel.readyState == "open" == other.channel.readyState)
            leg = next(line.leg for line in calls._calls.values() if line.call_id == offer["call_id"])
            monkeypatch.setattr(leg, "browser_sent", fail)
            browser.say({})
            ended = await one.hear("ended")
            assert (ended["reason"], ended["call_id"]) == ("error", offer["call_id"])
            other.say({"still": "here"})
            assert (await media.hear("message"))["data"] == {"still": "here"}
            await browser.close()
            await other.close()

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
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            _, media = await one.take()
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
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            await one.take()
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


# ---------------------------------------------------------------------- what goes wrong


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
        async with agent(house.gateway) as one:
            browser = Browser()
            await browser.call(calls)
            await one.take()
            sdp = await an_offer()
            more = [
                calls.offer(BrowserOffer(sdp=sdp, pc_id=browser.pc_id, restart_pc=True), CLAIMS)
                for _ in range(20)
            ]
            results = await asyncio.gather(*more, return_exceptions=True)
            refusals = [one for one in results if isinstance(one, OfferRefused)]
            assert (len(refusals), {one.status for one in refusals}) == (17, {409})
            await one.hangup({"call_id": browser.call_id})
            await browser.close()

    house.run(story())


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
