"""Exotel's Voicebot applet, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.carriers.exotel import PIECE_BYTES, STEP_BYTES, ExotelStream
from piopiy_pipeline.gateway.carriers.kit import basic_auth
from tests.support.carriers import carrier_config, level, path_of, payload, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, agent, until
from tests.support.web import client

KEY = {"Authorization": basic_auth("exotel", "secret")}
PATH = f"/carrier/exotel/{AGENT_ID}"


def settings(**more: Any) -> Any:
    return carrier_config(exotel={"user": "exotel", "password": "secret", **more})


def start(rate: int = 8000) -> dict[str, Any]:
    said = {
        "stream_sid": "MZxx",
        "call_sid": "CAxx",
        "account_sid": "ACxx",
        "from": "+919876543210",
        "to": "+918047491899",
        "custom_parameters": {"key1": "value1"},
        "media_format": {"encoding": "audio/x-raw", "sample_rate": str(rate), "bit_rate": "16"},
    }
    return {"event": "start", "sequence_number": "1", "stream_sid": "MZxx", "start": said}


async def begin(line: Peer, rate: int = 8000) -> None:
    await line.say(event="connected")
    await line.say(**start(rate))


async def media(line: Peer, sound: bytes) -> None:
    said = {"chunk": "2", "timestamp": "200", "payload": payload(sound)}
    await line.say(event="media", sequence_number="3", stream_sid="MZxx", media=said)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_call_to_the_last_word(rate: int) -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            path = f"{PATH}?sample-rate={rate}&key1=value1"
            async with stream(gateway, path, KEY) as line:
                await begin(line, rate)
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", rate)
                assert (offer["from_number"], offer["to_number"]) == ("+919876543210", "+918047491899")
                ids = {"call_id": "CAxx", "stream_id": "MZxx", "account_id": "ACxx"}
                assert offer["metadata"] == {"key1": "value1", "carrier": {"name": "exotel", **ids}}
                _, sound = await one.take(offer, caller_rate=rate, bot_rate=rate)
                await until(lambda: gateway.switchboard.playing)
                await media(line, np.full(rate // 10, 1000, "<i2").tobytes())
                assert level(await sound.hear_audio(1)) == 1000

                await sound.socket.send(np.full(rate, -2000, "<i2").tobytes())
                said = await line.hear("media")
                assert said["stream_sid"] == "MZxx"
                piece = base64.b64decode(said["media"]["payload"])
                assert (len(piece), level(piece)) == (PIECE_BYTES, -2000), "in pieces that are large enough"
                await sound.say(event="clear", epoch=1)
                assert await line.hear("clear") == {"event": "clear", "stream_sid": "MZxx"}
                await line.say(event="dtmf", stream_sid="MZxx", dtmf={"digit": "5", "duration": "100"})
                assert (await sound.hear("dtmf"))["digits"] == "5"

                await sound.socket.send(np.full(rate // 50, 500, "<i2").tobytes())
                piece = base64.b64decode((await line.hear("media"))["media"]["payload"])
                assert len(piece) == PIECE_BYTES, "the last word, and silence after it"
                assert piece[:2] == (500).to_bytes(2, "little")
                assert piece[-2:] == b"\0\0"
                await one.hangup(offer)
                mark = await line.hear("mark")
                await line.say(event="mark", stream_sid="MZxx", mark=mark["mark"])
                assert (await line.closed())[0] == 1000

    asyncio.run(story())


def test_an_applet_that_asks_for_the_address_is_given_one_with_a_ticket() -> None:
    async def story() -> None:
        async with Gateway(settings(sample_rate=16000)) as gateway, agent(gateway) as one:
            async with client(gateway, key=None) as web:
                asked = f"{PATH}/answer?CallSid=CAxx&CallFrom=0987&CallTo=0123"
                assert (await web.get(asked)).status_code == 401
                wrong = {"Authorization": basic_auth("exotel", "guess")}
                assert (await web.get(asked, headers=wrong)).status_code == 403
                answer = await web.get(asked, headers=KEY)
            path = path_of(answer.json()["url"])
            assert path.endswith("?sample-rate=16000")
            async with stream(gateway, path) as line:
                await begin(line, 16000)
                assert (await one.offer())["from_number"] == "0987"
            assert (await refused(gateway, path))[0] == 401, "once"

    asyncio.run(story())


def test_a_stream_without_the_password_is_refused() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway:
            assert (await refused(gateway, PATH))[0] == 401
            assert (await refused(gateway, PATH, {"Authorization": basic_auth("exotel", "guess")}))[0] == 403
            assert (await refused(gateway, f"{PATH}/a.forged.ticket"))[0] == 401

    asyncio.run(story())


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_pieces_are_large_enough_and_a_multiple_of_320(rate: int) -> None:
    import json

    machine = ExotelStream(rate)
    machine.receive_text(json.dumps(start(rate)).encode())
    frame = bytes(rate // 50 * 2)
    said = [piece for _ in range(37) for piece in machine.send_audio(frame)] + machine.flush()
    sizes = [len(base64.b64decode(one["media"]["payload"])) for one in said if isinstance(one, dict)]
    assert all(size >= PIECE_BYTES and size % STEP_BYTES == 0 for size in sizes)
    assert sum(sizes) >= 37 * len(frame)
    assert not machine.waiting
    machine.send_audio(frame)
    machine.clear()
    assert machine.flush() == [], "what was gathered is forgotten too"


def test_a_hold_takes_nothing_from_the_carrier_and_what_it_has_is_played() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one, stream(gateway, PATH, KEY) as line:
            await begin(line)
            _, sound = await one.take(caller_rate=8000, bot_rate=8000)
            await until(lambda: gateway.switchboard.playing)
            said = np.arange(1000, 1000 + 4800, dtype="<i2")
            await sound.socket.send(said.tobytes())
            await sound.hear("played")
            await sound.say(event="hold", epoch=0)
            await sound.hear("held")
            await sound.say(event="resume")
            heard = np.zeros(0, "<i2")
            while np.count_nonzero(heard) < 4800:  # no clear comes in between, or this would not be
                event = await line.hear()
                assert event["event"] == "media"
                pcm = base64.b64decode(event["media"]["payload"])
                heard = np.concatenate([heard, np.frombuffer(pcm, "<i2")])
            assert heard.astype(int).sum() == said.astype(int).sum(), "nothing lost, nothing twice"

    asyncio.run(story())


def test_a_clear_after_a_hold_empties_the_carriers_buffer_too() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one, stream(gateway, PATH, KEY) as line:
            await begin(line)
            _, sound = await one.take(caller_rate=8000, bot_rate=8000)
            await until(lambda: gateway.switchboard.playing)
            await sound.socket.send(np.full(8000, 2000, "<i2").tobytes())
            await line.hear("media")
            await sound.say(event="hold", epoch=0)
            await sound.hear("held")
            await sound.say(event="clear", epoch=1)
            assert await line.hear("clear") == {"event": "clear", "stream_sid": "MZxx"}

    asyncio.run(story())
