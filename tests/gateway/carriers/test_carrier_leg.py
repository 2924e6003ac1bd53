"""A carrier's stream as a leg: what it forgives, when it is given up, how it ends a call, and what it leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from loguru import logger

from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.carriers import carrier_leg
from piopiy_pipeline.gateway.carriers.kit import basic_auth
from piopiy_pipeline.gateway.core.leg import AUDIO_AT_ONCE_S
from tests.support.carriers import carrier_config, level, payload, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, config, until
from tests.support.web import client

KEY = {"Authorization": basic_auth("exotel", "secret")}
PATH = f"/carrier/exotel/{AGENT_ID}"


def settings(**more: Any) -> GatewayConfig:
    return carrier_config(exotel={"user": "exotel", "password": "secret"}, **more)


async def begin(line: Peer, call_id: str = "CA1") -> None:
    await line.say(event="connected")
    await line.say(event="start", stream_sid="MZ1", start={"call_sid": call_id, "stream_sid": "MZ1"})


async def talk(line: Peer, sound: bytes) -> None:
    await line.say(event="media", media={"payload": payload(sound)})


@asynccontextmanager
async def call(gateway: Gateway, one: ScriptedAgent) -> AsyncIterator[tuple[Peer, dict[str, Any], Peer]]:
    """A call under way: the carrier's line, the offer, and the agent's media stream."""
    async with stream(gateway, PATH, KEY) as line:
        await begin(line)
        offer, sound = await one.take(caller_rate=8000, bot_rate=8000)
        await until(lambda: gateway.switchboard.playing)
        yield line, offer, sound


def test_messages_that_are_none_are_left_out_and_a_flood_of_them_ends_only_its_own_call() -> None:
    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (line, _, sound),
            stream(gateway, PATH, KEY) as other,
        ):
            for garbage in (
                "{",
                "[]",
                '{"event": "media"}',
                '{"event": "dtmf", "dtmf": {"digit": "?"}}',
                b"\0",
            ):
                await line.socket.send(garbage)
            await begin(other, "CA2")
            await one.take(caller_rate=8000, bot_rate=8000)
            for _ in range(carrier_leg.MALFORMED_LIMIT + 1):
                await other.socket.send("{")
            assert (await other.closed())[0] == 1008
            assert (await one.hear("ended"))["reason"] == "caller_hangup"
            await talk(line, b"\x02\x01" * 160)
            assert level(await sound.hear_audio(1)) == 0x102, "the first call has noticed nothing"

    asyncio.run(story())


def test_a_carrier_that_floods_a_call_with_audio_loses_that_call_alone() -> None:
    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (line, offer, _),
        ):
            for _ in range(2 * int(AUDIO_AT_ONCE_S)):
                await talk(line, bytes(16_000))
            code, why = await line.closed()
            assert (code, "faster than time" in why) == (1008, True)
            ended = await one.hear("ended")
            assert (ended["call_id"], ended["reason"]) == (offer["call_id"], "caller_hangup")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ('{"event": "start", "start": {"stream_sid": "MZ1"}}', "call_sid"),
        ('{"event": "start", "start": 7}', "start of the stream"),
        ('{"event": "start", "start": {"call_sid": "1", "media_format": {"sample_rate": 44100}}}', "44100"),
        (
            '{"event": "start", "start": {"call_sid": "1", "custom_parameters": {"a": "%s"}}}' % ("x" * 9000),
            "9",
        ),
        ("x" * (carrier_leg.MAX_MESSAGE_BYTES + 1), "limit"),
    ],
    ids=["no call", "no object", "unknown rate", "large parameters", "large message"],
)
def test_a_start_that_is_not_as_documented_is_told_why(sent: str, why: str) -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, stream(gateway, PATH, KEY) as line:
            await line.socket.send(sent)
            code, told = await line.closed()
            assert (code, why in told) == (1008, True), told
            assert not gateway.switchboard.snapshot().ended

    asyncio.run(story())


def test_a_stream_that_does_not_start_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_leg, "START_S", 0.05)

    async def story() -> None:
        async with Gateway(settings()) as gateway, stream(gateway, PATH, KEY) as line:
            await line.say(event="connected")
            assert "no start" in (await line.closed())[1]

    asyncio.run(story())


def test_a_flood_of_messages_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrier_leg, "MESSAGES_PER_S", 5)

    async def story() -> None:
        async with Gateway(settings()) as gateway, stream(gateway, PATH, KEY) as line:
            for _ in range(20):
                await line.say(event="connected")
            assert "messages a second" in (await line.closed())[1]

    asyncio.run(story())


def test_a_call_that_nobody_takes_ends_the_stream() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, stream(gateway, PATH, KEY) as line:
            await begin(line)
            assert await line.closed() == (1000, "no_agent")

    asyncio.run(story())


def test_a_carrier_that_does_not_say_that_the_last_words_were_played_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(carrier_leg, "PLAYED_S", 0.1)

    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (line, offer, sound),
        ):
            await sound.socket.send(b"\x02\x01" * 160 * 10)
            await line.hear("media")
            await one.hangup(offer)
            await line.hear("mark")
            await talk(line, bytes(320))
            assert await line.closed() == (1000, "agent_hangup")

    asyncio.run(story())


def test_a_bot_that_said_nothing_is_interrupted_without_a_word_to_the_carrier() -> None:
    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (line, offer, sound),
        ):
            await sound.say(event="clear", epoch=1)
            await sound.hear("cleared")
            await one.hangup(offer)
            assert (await line.closed())[0] == 1000
            assert not line.audio

    asyncio.run(story())


def test_keys_that_a_stream_cannot_carry_are_told_once() -> None:
    told: list[str] = []
    sink = logger.add(lambda message: told.append(message.record["message"]), level="WARNING")

    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (_, __, sound),
        ):
            await sound.say(event="dtmf", digits="1")
            await sound.say(event="dtmf", digits="2")
            await sound.say(event="clear", epoch=1)
            await sound.hear("cleared")

    try:
        asyncio.run(story())
    finally:
        logger.remove(sink)
    assert [one for one in told if "DTMF" in one] == [
        "the bot sent DTMF, but streams of exotel carry none to the caller"
    ]


def test_a_carrier_whose_connection_takes_nothing_misses_frames_and_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(carrier_leg, "BUFFER_BYTES", -1)
    monkeypatch.setattr(carrier_leg, "STUCK_S", 0.1)

    async def story() -> None:
        async with (
            Gateway(settings()) as gateway,
            agent(gateway) as one,
            call(gateway, one) as (_, __, sound),
        ):
            await sound.socket.send(bytes(16000))
            ended = await one.hear("ended")
            assert "took nothing" in ended["detail"]
            await until(lambda: bool(gateway.switchboard.snapshot().ended))
            assert gateway.switchboard.snapshot().ended[-1].frames_dropped > 2

    asyncio.run(story())


def test_a_gateway_without_carriers_has_none() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            assert (await refused(gateway, PATH, KEY))[0] == 404
            async with client(gateway, key=None) as web:
                assert (await web.post(f"{PATH}/answer", data={"a": "b"})).status_code == 404
                assert (await web.get(PATH)).status_code == 426

    asyncio.run(story())
