"""Plivo's audio streams, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import re
from itertools import count
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.audio import g711
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.carriers.plivo import plivo_signature
from tests.support.carriers import carrier_config, level, path_of, payload, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, agent, until
from tests.support.web import client

TOKEN = "plivo-auth-token"
ANSWER = f"/carrier/plivo/{AGENT_ID}/answer"
CALL = {"CallUUID": "12345678-1234", "From": "15550100", "To": "15550199", "Direction": "inbound"}
STREAM = "87654321-4321"
nonces = count(1)


def settings(**more: Any) -> Any:
    return carrier_config(plivo={"auth_token": TOKEN, **more})


def signed(path: str, form: dict[str, str] | None = None, *, scheme: str = "https") -> dict[str, str]:
    method, nonce = ("POST" if form else "GET"), str(next(nonces))
    url = f"{scheme}://voice.example{path}"
    signature = plivo_signature(TOKEN, method, url, list((form or {}).items()), nonce)
    return {"X-Plivo-Signature-V3": f"other,{signature}", "X-Plivo-Signature-V3-Nonce": nonce}


async def ask(gateway: Gateway, path: str = ANSWER) -> tuple[str, str]:
    async with client(gateway, key=None) as web:
        answer = await web.post(path, data=CALL, headers=signed(path, CALL))
    assert answer.status_code == 200, answer.text
    found = re.search(r"<Stream([^>]*)>([^<]+)</Stream><Hangup/>", answer.text)
    assert found, answer.text
    return path_of(found[2]), found[1]


async def begin(line: Peer, encoding: str = "audio/x-mulaw", rate: int = 8000) -> None:
    start = {
        "callId": "12345678-1234",
        "streamId": STREAM,
        "accountId": "MAXX",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": encoding, "sampleRate": rate},
    }
    extra = "userId=12345;sessionId=abc%20xyz"
    await line.say(event="start", sequenceNumber=1, start=start, extra_headers=extra)


async def media(line: Peer, sound: bytes) -> None:
    said = {"track": "inbound", "timestamp": "1705312200000", "chunk": 1, "payload": payload(sound)}
    await line.say(event="media", sequenceNumber=42, streamId=STREAM, media=said)


@pytest.mark.parametrize("scheme", ["wss", "https"])
def test_a_call_from_the_webhook_to_the_last_word(scheme: str) -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            path, attributes = await ask(gateway, f"{ANSWER}?tier=gold")
            assert 'bidirectional="true"' in attributes
            assert 'contentType="audio/x-mulaw;rate=8000"' in attributes
            async with stream(gateway, path, signed(path, scheme=scheme)) as line:
                await begin(line)
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", 8000)
                assert (offer["from_number"], offer["to_number"]) == ("15550100", "15550199")
                assert offer["metadata"] == {
                    "tier": "gold",
                    "userId": "12345",
                    "sessionId": "abc xyz",
                    "carrier": {
                        "name": "plivo",
                        "call_id": "12345678-1234",
                        "stream_id": STREAM,
                        "account_id": "MAXX",
                    },
                }
                _, sound = await one.take(offer, caller_rate=8000, bot_rate=8000)
                await until(lambda: gateway.switchboard.playing)
                await media(line, g711.ulaw_encode(np.full(160, 1000, np.int16)).tobytes())
                assert abs(level(await sound.hear_audio(1)) - 1000) < 40

                await sound.socket.send(np.full(160 * 10, -2000, "<i2").tobytes())
                said = (await line.hear("playAudio"))["media"]
                assert (said["contentType"], said["sampleRate"]) == ("audio/x-mulaw", 8000)
                codes = np.frombuffer(base64.b64decode(said["payload"]), np.uint8)
                assert abs(level(g711.ulaw_decode(codes)) + 2000) < 80
                await sound.say(event="clear", epoch=1)
                assert await line.hear("clearAudio") == {"event": "clearAudio", "streamId": STREAM}
                await line.say(event="clearedAudio", sequenceNumber=50, streamId=STREAM)
                await line.say(event="dtmf", streamId=STREAM, dtmf={"track": "inbound", "digit": "1"})
                assert (await sound.hear("dtmf"))["digits"] == "1"
                await sound.say(event="dtmf", digits="42#")
                assert await line.hear("sendDTMF") == {"event": "sendDTMF", "dtmf": "42#"}

                await sound.socket.send(bytes(320))
                await line.hear("playAudio")
                await one.hangup(offer)
                name = (await line.hear("checkpoint"))["name"]
                await line.say(event="playedStream", streamId=STREAM, name=name)
                assert (await line.closed())[0] == 1000

    asyncio.run(story())


def test_wideband_sound_both_ways() -> None:
    async def story() -> None:
        async with Gateway(settings(content_type="audio/x-l16;rate=16000")) as gateway, agent(gateway) as one:
            path, _ = await ask(gateway)
            async with stream(gateway, path, signed(path, scheme="wss")) as line:
                await begin(line, "audio/x-l16", 16000)
                _, sound = await one.take()
                await until(lambda: gateway.switchboard.playing)
                await media(line, np.full(320, 1234, "<i2").tobytes())
                assert level(await sound.hear_audio(1)) == 1234
                await sound.socket.send(np.full(320, -4321, "<i2").tobytes())
                said = (await line.hear("playAudio"))["media"]
                assert (said["contentType"], said["sampleRate"]) == ("audio/x-l16", 16000)
                assert level(base64.b64decode(said["payload"])) == -4321

    asyncio.run(story())


def test_requests_that_are_forged_or_made_again_are_refused() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, client(gateway, key=None) as web:

            async def status(headers: dict[str, str], form: dict[str, str] = CALL) -> int:
                return (await web.post(ANSWER, data=form, headers=headers)).status_code

            good = signed(ANSWER, CALL)
            assert await status(good, {**CALL, "From": "666"}) == 403
            assert await status(good) == 200
            assert await status(good) == 403, "its nonce is used up"
            assert await status({}) == 401
            assert await status(good | {"X-Plivo-Signature-V3-Nonce": "7"}) == 403
            path, _ = await ask(gateway)
            assert (await refused(gateway, path))[0] == 401
            assert (await refused(gateway, path, signed("/elsewhere", scheme="wss")))[0] == 403
            once = signed(path, scheme="wss")
            async with stream(gateway, path, once):
                pass
            assert (await refused(gateway, path, once))[0] == 403
            assert (await refused(gateway, path, signed(path, scheme="wss")))[0] == 401, (
                "the ticket is used up"
            )

    asyncio.run(story())


def test_a_webhook_may_be_a_get() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, client(gateway, key=None) as web:
            path = f"{ANSWER}?CallUUID=1&To=2&From=3"
            assert (await web.get(path, headers=signed(path))).status_code == 200
            other = f"{ANSWER}?CallUUID=1&To=2&From=4"
            assert (await web.get(other, headers=signed(path))).status_code == 403

    asyncio.run(story())


def test_what_is_signed_is_the_address_the_sorted_query_the_sorted_form_and_the_nonce() -> None:
    import hashlib
    import hmac

    def by_hand(text: str) -> str:
        return base64.b64encode(hmac.new(b"key", text.encode(), hashlib.sha256).digest()).decode()

    form = [("b", "2"), ("a", "1")]
    url = "https://voice.example/answer"
    assert plivo_signature("key", "GET", url, [], "9") == by_hand(f"{url}.9")
    assert plivo_signature("key", "GET", f"{url}?z=1&y=2", [], "9") == by_hand(f"{url}?y=2&z=1.9")
    assert plivo_signature("key", "POST", url, form, "9") == by_hand(f"{url}?a1b2.9")
    assert plivo_signature("key", "POST", f"{url}?z=1", form, "9") == by_hand(f"{url}?z=1.a1b2.9")
