"""A caller over a WebSocket: what it may say, when it is sent away, and what it misses when it is slow."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.leg import AUDIO_AT_ONCE_S
from piopiy_pipeline.gateway.port import socket_leg
from piopiy_pipeline.gateway.port import stream_leg as stream
from tests.support.gateway_peers import AGENT_ID, CALLER_KEY, Peer, agent, bearer, caller, config, until


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ('{"event": "start", "rate": 16000, "volume": 11}', "volume"),
        ('{"event": "start", "rate": 11025}', "rate"),
        ('{"event": "hangup"}', "start first"),
        (b"\0\0", "start first"),
        ("hello?", "JSON"),
        (bytes([0x7B, 0xFF]), "start first"),
    ],
)
def test_a_caller_that_begins_with_anything_but_a_start_is_told_what_is_wrong(
    sent: str | bytes, told: str
) -> None:
    async def story() -> None:
        url = f"/call/{AGENT_ID}"
        async with (
            Gateway(config()) as gateway,
            connect(gateway.url + url, additional_headers=bearer(CALLER_KEY), proxy=None) as socket,
        ):
            peer = Peer(socket)
            await socket.send(sent)
            assert told in (await peer.hear("fault"))["detail"]
            assert (await peer.closed())[0] == 1008

    asyncio.run(story())


def test_a_caller_that_does_not_start_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_leg, "START_S", 0.05)

    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            connect(
                f"{gateway.url}/call/{AGENT_ID}", additional_headers=bearer(CALLER_KEY), proxy=None
            ) as socket,
        ):
            assert "no start" in (await Peer(socket).hear("fault"))["detail"]

    asyncio.run(story())


def test_a_caller_that_breaks_the_rules_in_mid_call_has_hung_up() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            await one.take()
            await line.hear("answered")
            await line.socket.send(b"\0\0\0")
            assert "16-bit" in (await line.hear("fault"))["detail"]
            ended = await one.hear("ended")
            assert ended["reason"] == "caller_hangup"
            assert "16-bit" in ended["detail"]

    asyncio.run(story())


def test_a_caller_who_floods_with_audio_has_hung_up_and_another_is_heard() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            caller(gateway, rate=16000) as line,
            caller(gateway) as other,
        ):
            _, media = await one.take()
            await one.take()
            await line.hear("answered")
            second = bytes(32_000)
            for _ in range(int(AUDIO_AT_ONCE_S)):  # a network that stood still brings that much at once
                await line.socket.send(second)
            await line.socket.ping()
            assert await media.hear_audio(1)
            for _ in range(10):
                await line.socket.send(second)
            assert "faster than time: 10 s" in (await line.hear("fault"))["detail"]
            ended = await one.hear("ended")
            assert (ended["reason"], "faster than time" in ended["detail"]) == ("caller_hangup", True)
            await other.hear("answered")

    asyncio.run(story())


def test_the_conversation_is_told_only_to_callers_who_watch() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway, watch=False) as line:
            offer, _ = await one.take()
            await line.hear("answered")
            await one.say(type="event", call_id=offer["call_id"], at=1, event="bot_turn", data={"text": "Hi"})
            await one.hangup(offer)
            assert (await line.hear())["event"] == "ended"

    asyncio.run(story())


def test_a_caller_who_watches_is_told_when_its_agent_is_lost_and_when_another_has_the_call() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway, "one") as one, caller(gateway) as line:
            await one.take()
            await line.hear("answered")
            async with agent(gateway, "two") as two:
                one.die()
                lost = await line.hear_where(lambda told: told.get("name") == "sound", "loss")
                assert lost["data"] == {"of": "nobody"}
                assert lost["at"] >= 0
                await two.take()
                found = await line.hear_where(lambda told: told.get("name") == "sound", "return")
                assert found["data"] == {"of": "bot"}

    asyncio.run(story())


def test_sound_sent_before_the_answer_is_not_kept_for_later() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway) as line:
            await line.hear("ringing")
            await line.socket.send(b"\x01\x00" * 320)
            await line.socket.ping()
            _, media = await one.take()
            await line.hear("answered")
            await line.socket.send(b"\x02\x00" * 320)
            assert await media.hear_audio(1) == b"\x02\x00" * 320

    asyncio.run(story())


def test_a_caller_whose_connection_takes_nothing_misses_frames_and_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "BUFFER_S", 0.0)
    monkeypatch.setattr(stream, "STUCK_S", 0.1)

    async def story() -> None:
        async with Gateway(config()) as gateway, agent(gateway) as one, caller(gateway, rate=48000) as line:
            offer, media = await one.take(bot_rate=8000)
            await line.hear("answered")
            line.socket.transport.pause_reading()
            # Keys fill the connection, which is not read, until sound has to wait.
            while True:
                await media.say(event="message", data={"padding": "x" * 60_000})
                [*calls] = gateway.switchboard.snapshot().calls
                if not calls or calls[0].frames_dropped:
                    break
                await media.socket.send(bytes(320))
                await asyncio.sleep(0.02)
            await media.socket.send(bytes(16000))
            await until(lambda: bool(gateway.switchboard.snapshot().ended))
            [record] = gateway.switchboard.snapshot().ended
            assert record.reason == "caller_hangup"
            assert record.frames_dropped > 0
            assert "took nothing" in record.detail
            line.die()
            del offer

    asyncio.run(story())
