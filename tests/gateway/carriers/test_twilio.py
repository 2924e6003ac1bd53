"""Twilio's Media Streams, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.audio import g711
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.carriers.twilio import twilio_signature
from tests.support.carriers import PUBLIC, carrier_config, level, path_of, payload, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, agent, until
from tests.support.web import client

TOKEN = "twilio-auth-token"
ANSWER = f"/carrier/twilio/{AGENT_ID}/answer"
CALL = {"CallSid": "CA0123", "AccountSid": "AC0123", "From": "+15550100", "To": "+15550199"}
SILENCE = payload(b"\xff" * 160)


def settings(**more: Any) -> Any:
    return carrier_config(twilio={"auth_token": TOKEN, **more})


def signed(path: str, form: dict[str, str] | None = None, *, scheme: str = "https") -> dict[str, str]:
    url = f"{scheme}://voice.example{path}"
    return {"X-Twilio-Signature": twilio_signature(TOKEN, url, list((form or {}).items()))}


async def ask(gateway: Gateway, path: str = ANSWER, form: dict[str, str] | None = None) -> str:
    """The path that the TwiML names."""
    form = form or CALL
    async with client(gateway, key=None) as web:
        answer = await web.post(path, data=form, headers=signed(path, form))
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/xml")
    found = re.search(r'<Connect><Stream url="([^"]+)"/></Connect><Hangup/>', answer.text)
    assert found, answer.text
    return path_of(found[1])


async def begin(line: Peer, **start: Any) -> None:
    await line.say(event="connected", protocol="Call", version="1.0.0")
    said = {
        "accountSid": "AC0123",
        "streamSid": "MZ0123",
        "callSid": "CA0123",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
        **start,
    }
    await line.say(event="start", sequenceNumber="1", start=said, streamSid="MZ0123")


async def media(line: Peer, sound: str, number: int = 2) -> None:
    said = {"track": "inbound", "chunk": str(number - 1), "timestamp": "5", "payload": sound}
    await line.say(event="media", sequenceNumber=str(number), media=said, streamSid="MZ0123")


def mulaw(value: int, samples: int = 160) -> str:
    return payload(g711.ulaw_encode(np.full(samples, value, np.int16)).tobytes())


def test_a_call_from_the_webhook_to_the_last_word() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            path = await ask(gateway, f"{ANSWER}?tier=gold")
            async with stream(gateway, path, signed(path, scheme="wss")) as line:
                await begin(line, customParameters={"campaign": "spring"})
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", 8000)
                assert (offer["from_number"], offer["to_number"]) == ("+15550100", "+15550199")
                ids = {"call_id": "CA0123", "stream_id": "MZ0123", "account_id": "AC0123"}
                assert offer["metadata"] == {
                    "tier": "gold",
                    "campaign": "spring",
                    "carrier": {"name": "twilio", **ids},
                }
                _, sound = await one.take(offer, caller_rate=8000, bot_rate=8000)
                await until(lambda: gateway.switchboard.playing)

                await media(line, mulaw(1000))
                assert abs(level(await sound.hear_audio(1)) - 1000) < 40, "the caller is heard"

                await sound.socket.send(np.full(160 * 10, -2000, "<i2").tobytes())
                heard = await line.hear("media")
                assert heard["streamSid"] == "MZ0123"
                codes = np.frombuffer(base64.b64decode(heard["media"]["payload"]), np.uint8)
                assert codes.size == 160
                assert abs(level(g711.ulaw_decode(codes)) + 2000) < 80, "and so is the bot"

                await sound.say(event="clear", epoch=1)
                assert await line.hear("clear") == {"event": "clear", "streamSid": "MZ0123"}
                await line.say(
                    event="dtmf", streamSid="MZ0123", dtmf={"track": "inbound_track", "digit": "7"}
                )
                assert (await sound.hear("dtmf"))["digits"] == "7"

                await sound.socket.send(bytes(320))
                await line.hear("media")
                await one.hangup(offer)
                mark = await line.hear("mark")
                assert not line.socket.close_code, "the last words are played first"
                await line.say(event="mark", streamSid="MZ0123", mark=mark["mark"])
                assert (await line.closed())[0] == 1000
            ended = gateway.switchboard.snapshot().ended[-1]
            assert (ended.reason, ended.kind) == ("agent_hangup", "phone")

    asyncio.run(story())


@pytest.mark.parametrize("says_stop", [True, False])
def test_a_caller_who_hangs_up_is_gone(says_stop: bool) -> None:
    async def story() -> None:
        path = f"/carrier/twilio/{AGENT_ID}"
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            async with stream(gateway, path, signed(path, scheme="wss")) as line:
                await begin(line, customParameters={"from_number": "+15550100", "to_number": "+15550199"})
                offer, _ = await one.take()
                assert offer["from_number"] == "+15550100", "a TwiML of the operator's own can tell it"
                assert "from_number" not in offer["metadata"]
                if says_stop:
                    stop = {"accountSid": "AC0123", "callSid": "CA0123"}
                    await line.say(event="stop", sequenceNumber="5", streamSid="MZ0123", stop=stop)
                    assert (await line.closed())[0] == 1000
            assert (await one.hear("ended"))["reason"] == "caller_hangup"

    asyncio.run(story())


def test_a_webhook_that_is_forged_unsigned_or_for_nobody_is_refused() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, client(gateway, key=None) as web:

            async def status(headers: dict[str, str], path: str = ANSWER) -> int:
                return (await web.post(path, data=CALL, headers=headers)).status_code

            assert await status(signed(ANSWER, CALL)) == 200
            assert await status({}) == 401
            assert await status(signed(ANSWER, {**CALL, "From": "+15550666"})) == 403, "another caller"
            assert await status(signed("/elsewhere", CALL)) == 403
            assert await status({"X-Twilio-Signature": "AAAA"}) == 403
            nobody = "/carrier/twilio/nobody/answer"
            assert await status(signed(nobody, CALL), nobody) == 404
            assert await status({}, f"/carrier/telnyx/{AGENT_ID}/answer") == 404
            long = f"{ANSWER}?note={'x' * 1100}"
            assert await status(signed(long, CALL), long) == 422

    asyncio.run(story())


def test_a_stream_that_is_forged_replayed_or_of_somebody_else_is_refused() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway:
            path = await ask(gateway)
            static = f"/carrier/twilio/{AGENT_ID}"
            assert (await refused(gateway, path))[0] == 401, "not signed"
            assert (await refused(gateway, static))[0] == 401
            assert (await refused(gateway, static, signed("/other", scheme="wss")))[0] == 403
            forged = f"{static}/forged.ticket.here"
            assert (await refused(gateway, forged, signed(forged, scheme="wss")))[0] == 401
            async with stream(gateway, path, signed(path, scheme="wss")):
                pass
            status, text = await refused(gateway, path, signed(path, scheme="wss"))
            assert (status, "used before" in text) == (401, True)
            nobody = "/carrier/twilio/nobody"
            assert (await refused(gateway, nobody, signed(nobody, scheme="wss")))[0] == 404
            assert (await refused(gateway, "/carrier/acme/x"))[0] == 404

    asyncio.run(story())


def test_the_settings_name_who_answers_where_the_address_does_not() -> None:
    async def story() -> None:
        async with Gateway(settings(agent=AGENT_ID)) as gateway, agent(gateway) as one:
            path = await ask(gateway, "/carrier/twilio/answer")
            assert path.startswith(f"/carrier/twilio/{AGENT_ID}/")
            static = "/carrier/twilio"
            async with stream(gateway, static, signed(static, scheme="wss")) as line:
                await begin(line)
                assert (await one.offer())["agent_id"] == AGENT_ID

    asyncio.run(story())


def test_the_signature_of_twilios_own_documentation() -> None:
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert twilio_signature("12345", url, list(form.items())) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    assert PUBLIC.startswith("https"), "so streams are signed with wss"
