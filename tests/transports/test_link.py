"""The agent's end of a media stream: what it says in the log of a gateway that takes no audio, or no stream."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from loguru import logger

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress
from piopiy_pipeline.agent.offered_media import open_media
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.session import Call
from piopiy_pipeline.signaling.json_messages import dump
from piopiy_pipeline.signaling.messages import Dtmf, Offer, Reject
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from piopiy_pipeline.transports.link import WebSocketLink
from tests.support.agents import logged
from tests.support.bots import voice
from tests.support.calls import house
from tests.support.gateway_peers import agent, caller, config


class FullSocket:
    """A connection that takes no audio, as long as a test says so."""

    is_open = True
    full = True

    def listen(self, **_: object) -> None: ...

    def post_binary(self, data: bytes) -> bool:
        return self.is_open and not self.full

    async def close(self) -> None:
        self.is_open = False


class Heard:
    """A listener that remembers the keys, and counts the audio."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.pieces = 0

    def on_audio(self, pcm: bytes) -> None:
        self.pieces += 1

    def on_event(self, event: object) -> None:
        assert isinstance(event, Dtmf)
        self.keys.append(event.digits)

    def on_lost(self) -> None: ...


def link_over(socket: FullSocket) -> WebSocketLink:
    return WebSocketLink(cast(DirectClientConnection, socket), 16000, 16000, can_hold=True)


def test_speech_that_the_gateway_does_not_take_is_told_once_and_added_up() -> None:
    async def story() -> None:
        socket = FullSocket()
        link = link_over(socket)
        with logged() as lines:
            for full in (True, True, False, True, True):
                socket.full = full
                link.send_audio(bytes(6400))
            assert len(lines) == 1
            await link.close()
            await link.close()
        assert [line for _, line in lines[1:]] == [
            "WARNING the gateway has not taken 0.8 s of the bot's speech in this call"
        ]
        assert link.said_bytes == 6400

    asyncio.run(story())


def test_nothing_is_said_of_the_speech_of_a_call_that_is_over() -> None:
    async def story() -> None:
        socket = FullSocket()
        link = link_over(socket)
        socket.is_open = False
        with logged() as lines:
            link.send_audio(bytes(6400))
            await link.close()
        assert lines == []

    asyncio.run(story())


def test_keys_are_kept_before_audio_until_somebody_listens() -> None:
    async def story() -> None:
        link, heard = link_over(FullSocket()), Heard()
        link._on_text(dump(Dtmf(digits="7")).encode())
        for _ in range(link.EARLY_CHUNKS + 100):
            link._on_binary(b"\0\0")
        link.attach(heard)
        assert heard.keys == ["7"]
        assert heard.pieces == link.EARLY_CHUNKS

    asyncio.run(story())


def test_keys_that_are_dropped_because_nobody_listens_are_told_once() -> None:
    async def story() -> None:
        link, heard = link_over(FullSocket()), Heard()
        with logged() as lines:
            for number in range(link.EARLY_EVENTS + 2):
                link._on_text(dump(Dtmf(digits=str(number % 10))).encode())
        link.attach(heard)
        assert heard.keys == [str(number % 10) for number in range(2, link.EARLY_EVENTS + 2)]
        assert [line for _, line in lines] == [
            "ERROR nobody listens yet, and 256 keys and messages wait: older ones are dropped"
        ]

    asyncio.run(story())


def test_an_offer_that_has_become_void_is_no_wrong_token() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one:
            async with caller(gateway) as line:
                offer = Offer.model_validate(await one.offer())
                await line.say(event="hangup")
                await one.hear("cancel")
            rejected: list[Reject] = []
            with logged() as lines:
                assert await open_media(GatewayAddress(gateway.url), offer, reject=rejected.append) is None
            [(call_id, line_)] = [one for one in lines if "was not taken" in one[1]]
            assert call_id == offer.call_id
            assert line_.startswith("INFO the call was not taken, because the offer had become void")
            assert not [text for _, text in lines if "401" in text]
            assert "void" in rejected[0].detail

    asyncio.run(story())


def test_what_comes_over_the_stream_is_logged_with_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = WebSocketLink._on_text

    def on_text(link: WebSocketLink, text: bytes) -> None:
        logger.debug("a media event has come")
        heard(link, text)

    monkeypatch.setattr(WebSocketLink, "_on_text", on_text)

    async def bot(call: Call) -> None:
        voice_agent = await voice(call, greeting="Good day.")
        await voice_agent.start()

    async def story() -> None:
        with logged() as lines:
            async with house(bot) as place:
                await place.call(hangup_after_s=1.0)
        ids = {call_id for call_id, line in lines if line.endswith("a media event has come")}
        assert len(ids) == 1
        assert None not in ids

    asyncio.run(story())
