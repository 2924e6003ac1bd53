"""Vonage's Voice API, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import uuid
from typing import Any

import jwt
import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from tests.support.carriers import carrier_config, hear_json, level, path_of, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, agent, until
from tests.support.web import client

SECRET = "a-signature-secret-of-some-length-for-hs256"
ANSWER = f"/carrier/vonage/{AGENT_ID}/answer"
CALL = {"from": "447700900000", "to": "447700900123", "uuid": "aaaaaaaa-bbbb", "conversation_uuid": "CON-1"}


def settings(**more: Any) -> Any:
    return carrier_config(vonage={"signature_secret": SECRET, **more})


def signed(body: bytes, *, secret: str = SECRET, **claims: Any) -> dict[str, str]:
    said = {
        "iat": int(time.time()),
        "jti": str(uuid.uuid4()),
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(body).hexdigest(),
        "api_key": "a1b2c3d",
        "application_id": "app-1",
        **claims,
    }
    token = jwt.encode(said, secret, algorithm="HS256")
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


async def ask(gateway: Gateway, path: str = ANSWER) -> tuple[str, str]:
    body = json.dumps(CALL).encode()
    async with client(gateway, key=None) as web:
        answer = await web.post(path, content=body, headers=signed(body))
    assert answer.status_code == 200, answer.text
    ((action,),) = (answer.json(),)
    (endpoint,) = action["endpoint"]
    assert (action["action"], endpoint["type"]) == ("connect", "websocket")
    return path_of(endpoint["uri"]), endpoint["content-type"]


async def begin(line: Peer, rate: int = 16000, **headers: str) -> None:
    await line.say(event="websocket:connected", **{"content-type": f"audio/l16;rate={rate}"}, **headers)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_call_from_the_webhook_to_the_last_word(rate: int) -> None:
    async def story() -> None:
        async with Gateway(settings(sample_rate=rate)) as gateway, agent(gateway) as one:
            path, content_type = await ask(gateway, f"{ANSWER}?tier=gold")
            assert content_type == f"audio/l16;rate={rate}"
            async with stream(gateway, path) as line:
                await begin(line, rate, customer="42")
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", rate)
                assert (offer["from_number"], offer["to_number"]) == ("447700900000", "447700900123")
                ids = {"name": "vonage", "call_id": "aaaaaaaa-bbbb"}
                assert offer["metadata"] == {"tier": "gold", "customer": "42", "carrier": ids}
                _, sound = await one.take(offer, caller_rate=rate, bot_rate=rate)
                await until(lambda: gateway.switchboard.playing)
                await line.socket.send(np.full(rate // 50, 1000, "<i2").tobytes())
                assert level(await sound.hear_audio(1)) == 1000

                await sound.socket.send(np.full(rate // 5, -2000, "<i2").tobytes())
                frame = await line.hear_audio(1)
                assert (len(frame), level(frame)) == (rate // 50 * 2, -2000), "20 ms a message"
                await sound.say(event="clear", epoch=1)
                assert await hear_json(line, "clear") == {"action": "clear"}
                await line.say(event="websocket:cleared")
                await line.say(event="websocket:dtmf", digit="5", duration=260)
                assert (await sound.hear("dtmf"))["digits"] == "5"

                line.audio.clear()
                await sound.socket.send(bytes(rate // 50 * 2))
                await line.hear_audio(1)
                await one.hangup(offer)
                notify = await hear_json(line, "notify")
                await line.say(event="websocket:notify", payload=notify["payload"])
                assert (await line.closed())[0] == 1000

    asyncio.run(story())


def test_a_stream_at_another_rate_than_was_asked_for_is_closed_with_a_sentence() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway:
            path, _ = await ask(gateway)
            async with stream(gateway, path) as line:
                await begin(line, 8000)
                code, why = await line.closed()
                assert (code, "audio/l16;rate=16000" in why) == (1008, True)

    asyncio.run(story())


def test_a_webhook_that_is_forged_old_made_again_or_of_another_application_is_refused() -> None:
    async def story() -> None:
        body = json.dumps(CALL).encode()
        async with Gateway(settings(application_id="app-1")) as gateway, client(gateway, key=None) as web:

            async def status(headers: dict[str, str], content: bytes = body) -> int:
                return (await web.post(ANSWER, content=content, headers=headers)).status_code

            good = signed(body)
            assert await status(good, body.replace(b"447700900000", b"447700900666")) == 403
            assert await status(good) == 200
            assert await status(good) == 403, "a second time"
            assert await status({"Content-Type": "application/json"}) == 401
            assert await status(signed(body, secret="another-secret-that-is-long-enough-too")) == 403
            assert await status(signed(body, iat=int(time.time()) - 400)) == 403
            assert await status(signed(body, iat="now")) == 403
            assert await status(signed(body, application_id="app-2")) == 403
            assert await status(signed(body, payload_hash=None)) == 403
            unsigned = jwt.encode({"iat": int(time.time()), "jti": "1"}, "", algorithm="none")
            assert await status({**good, "Authorization": f"Bearer {unsigned}"}) == 403

    asyncio.run(story())


def test_a_webhook_may_be_a_get_and_a_stream_needs_its_ticket_once() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            async with client(gateway, key=None) as web:
                answer = await web.get(f"{ANSWER}?from=1&to=2&uuid=3", headers=signed(b""))
            path = path_of(answer.json()[0]["endpoint"][0]["uri"])
            async with stream(gateway, path) as line:
                await begin(line)
                assert (await one.offer())["from_number"] == "1"
            assert (await refused(gateway, path))[0] == 401
            assert (await refused(gateway, f"/carrier/vonage/{AGENT_ID}"))[0] == 401

    asyncio.run(story())


def test_a_signature_secret_of_any_length_is_as_good() -> None:
    async def story() -> None:
        body = json.dumps(CALL).encode()
        short = carrier_config(vonage={"signature_secret": "short"})
        async with Gateway(short) as gateway, client(gateway, key=None) as web:
            with pytest.warns(jwt.InsecureKeyLengthWarning):
                headers = signed(body, secret="short")
            answer = await web.post(ANSWER, content=body, headers=headers)
            assert answer.status_code == 200

    asyncio.run(story())
