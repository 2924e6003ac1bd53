"""Telnyx's media streaming, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import random
import re
import time
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from piopiy_pipeline.audio import g711
from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.carriers.telnyx import ReorderBuffer
from tests.support.carriers import carrier_config, level, path_of, payload, refused, stream
from tests.support.gateway_peers import AGENT_ID, Peer, agent, until
from tests.support.web import client

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC_KEY = base64.b64encode(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
ANSWER = f"/carrier/telnyx/{AGENT_ID}/answer"
CALL = {"CallSid": "v3:abc", "From": "+15550100", "To": "+15550199"}


def settings(**more: Any) -> Any:
    return carrier_config(telnyx={"public_key": PUBLIC_KEY, **more})


def signed(body: str, *, at: float | None = None, key: Ed25519PrivateKey = KEY) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    signature = key.sign(f"{timestamp}|{body}".encode())
    return {
        "telnyx-timestamp": timestamp,
        "telnyx-signature-ed25519": base64.b64encode(signature).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def ask(gateway: Gateway, path: str = ANSWER, **more: str) -> tuple[str, str]:
    """The path and the attributes that the TeXML names."""
    body = urlencode(CALL | more)
    async with client(gateway, key=None) as web:
        answer = await web.post(path, content=body, headers=signed(body))
    assert answer.status_code == 200, answer.text
    found = re.search(r'<Connect><Stream url="([^"]+)"([^>]*)/></Connect><Hangup/>', answer.text)
    assert found, answer.text
    return path_of(found[1]), found[2]


async def begin(line: Peer, encoding: str = "PCMU", rate: int = 8000) -> None:
    await line.say(event="connected", version="1.0.0")
    start = {
        "user_id": "3E6F995F",
        "call_control_id": "v3:abc",
        "call_session_id": "ff55a038",
        "from": "+13122010094",
        "to": "+13122123456",
        "tags": ["TAG1"],
        "client_state": "aGF2ZSBhIG5pY2UgZGF5ID1d",
        "custom_parameters": {"customer_id": "customer_123"},
        "media_format": {"encoding": encoding, "sample_rate": rate, "channels": 1},
    }
    await line.say(event="start", sequence_number="1", stream_id="32DE0DEA", start=start)


async def media(line: Peer, sound: bytes, chunk: int) -> None:
    said = {"track": "inbound", "chunk": str(chunk), "timestamp": "5", "payload": payload(sound)}
    await line.say(event="media", sequence_number=str(chunk + 5), stream_id="32DE0DEA", media=said)


def test_a_call_from_the_webhook_to_the_last_word() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            path, attributes = await ask(gateway, f"{ANSWER}?tier=gold")
            assert 'bidirectionalMode="rtp" bidirectionalCodec="PCMU"' in attributes
            async with stream(gateway, path) as line:
                await begin(line)
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", 8000)
                assert offer["from_number"] == "+15550100", "the signed webhook's, before the stream's"
                assert offer["metadata"]["customer_id"] == "customer_123"
                assert offer["metadata"]["tier"] == "gold"
                assert offer["metadata"]["carrier"] == {
                    "name": "telnyx",
                    "call_id": "v3:abc",
                    "stream_id": "32DE0DEA",
                    "account_id": "3E6F995F",
                }
                _, sound = await one.take(offer, caller_rate=8000, bot_rate=8000)
                await until(lambda: gateway.switchboard.playing)

                for chunk in (1, 3, 2):
                    await media(line, g711.ulaw_encode(np.full(160, 1000 * chunk, np.int16)).tobytes(), chunk)
                heard = np.frombuffer(await sound.hear_audio_bytes(3 * 320), "<i2").reshape(3, 160)
                assert [round(level(part) / 1000) for part in heard] == [1, 2, 3], "in their order"

                await sound.socket.send(np.full(160 * 10, -2000, "<i2").tobytes())
                said = await line.hear("media")
                codes = np.frombuffer(base64.b64decode(said["media"]["payload"]), np.uint8)
                assert abs(level(g711.ulaw_decode(codes)) + 2000) < 80
                await sound.say(event="clear", epoch=1)
                assert await line.hear("clear") == {"event": "clear"}
                await line.say(event="dtmf", stream_id="32DE0DEA", occurred_at="now", dtmf={"digit": "#"})
                assert (await sound.hear("dtmf"))["digits"] == "#"

                await sound.socket.send(bytes(320))
                await line.hear("media")
                await one.hangup(offer)
                mark = await line.hear("mark")
                await line.say(event="mark", stream_id="32DE0DEA", mark=mark["mark"])
                assert (await line.closed())[0] == 1000

    asyncio.run(story())


def test_wideband_sound_is_in_network_order_both_ways() -> None:
    async def story() -> None:
        async with Gateway(settings(codec="L16")) as gateway, agent(gateway) as one:
            path, attributes = await ask(gateway)
            assert 'bidirectionalCodec="L16" bidirectionalSamplingRate="16000"' in attributes
            async with stream(gateway, path) as line:
                await begin(line, "L16", 16000)
                _, sound = await one.take()
                await until(lambda: gateway.switchboard.playing)
                await media(line, np.full(320, 1234, ">i2").tobytes(), 1)
                assert level(await sound.hear_audio(1)) == 1234
                await sound.socket.send(np.full(320, -4321, "<i2").tobytes())
                said = base64.b64decode((await line.hear("media"))["media"]["payload"])
                assert level(np.frombuffer(said, ">i2").astype(np.int16)) == -4321

    asyncio.run(story())


def test_a_stream_in_another_format_than_was_asked_for_is_closed_with_a_sentence() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway):
            path, _ = await ask(gateway)
            async with stream(gateway, path) as line:
                await begin(line, "L16", 16000)
                code, why = await line.closed()
                assert (code, "carriers.telnyx.codec" in why) == (1008, True)

    asyncio.run(story())


def test_a_webhook_that_is_forged_old_or_made_again_is_refused() -> None:
    async def story() -> None:
        body = urlencode(CALL)
        other = Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
        async with Gateway(settings()) as gateway, client(gateway, key=None) as web:

            async def status(headers: dict[str, str], content: str = body) -> int:
                return (await web.post(ANSWER, content=content, headers=headers)).status_code

            good = signed(body)
            assert await status(good, body + "&x=1") == 403
            assert await status(good) == 200
            assert await status(good) == 403, "a second time"
            assert await status({"Content-Type": good["Content-Type"]}) == 401
            assert await status(signed(body, key=other)) == 403
            assert await status(signed(body, at=time.time() - 400)) == 403
            assert await status(signed(body) | {"telnyx-signature-ed25519": "not base64"}) == 403
            assert await status(signed(body) | {"telnyx-timestamp": "now"}) == 403

    asyncio.run(story())


def test_a_stream_needs_a_ticket_of_this_carrier_and_agent_once() -> None:
    async def story() -> None:
        piopiy = {"answer_key": "k"}
        both = carrier_config(telnyx={"public_key": PUBLIC_KEY}, piopiy=piopiy)
        async with Gateway(both) as gateway:
            path, _ = await ask(gateway)
            ticket = path.rpartition("/")[2]
            base = f"/carrier/telnyx/{AGENT_ID}"
            assert (await refused(gateway, base))[0] == 401
            assert (await refused(gateway, f"{base}/no.ticket.this"))[0] == 401
            assert (await refused(gateway, f"/carrier/piopiy/{AGENT_ID}/{ticket}"))[0] == 403
            assert (await refused(gateway, f"{base}/{ticket}/more"))[0] == 404
            async with stream(gateway, path):
                pass
            assert (await refused(gateway, path))[0] == 401

    asyncio.run(story())


@pytest.mark.parametrize(
    ("come", "due"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 3, 2, 4], [1, 2, 3, 4]),
        ([1, 3, 4, 5, 6], [1, 3, 4, 5, 6]),
        ([5, 5, 6, 4, 7], [5, 6, 7]),
        ([9, 1, 2, 3, 4, 5, 6], [9, 4, 5, 6]),
    ],
    ids=["in order", "swapped", "one lost", "twice and late", "counting begins anew"],
)
def test_pieces_are_put_in_order(come: list[int], due: list[int]) -> None:
    order = ReorderBuffer()
    assert [piece[0] for number in come for piece in order.add(number, bytes([number]))] == due


def test_no_order_of_pieces_holds_back_more_than_a_few() -> None:
    order, randomness = ReorderBuffer(), random.Random(4)
    given = sum(len(order.add(randomness.randrange(-50, 50), b"x")) for _ in range(10_000))
    assert given > 1000
    assert len(order._early) <= 4
