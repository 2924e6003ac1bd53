"""Piopiy's PCMO stream action, in the messages of its documentation, over real sockets."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import numpy as np
import pytest

from piopiy_pipeline.gateway import Gateway
from tests.support.carriers import carrier_config, hear_json, level, path_of, refused, stream
from tests.support.gateway_peers import AGENT_ID, agent, until
from tests.support.web import client

ANSWER = f"/carrier/piopiy/{AGENT_ID}/answer"
CALL = {"from": 919100000000, "to": 4471000000, "time": 1571800398000, "cmiuuid": "00c6a018-a912"}


def settings(**more: Any) -> Any:
    return carrier_config(piopiy={"answer_key": "answer-key", **more})


async def ask(gateway: Gateway, rate: int = 8000) -> str:
    async with client(gateway, key=None) as web:
        answer = await web.post(f"{ANSWER}?key=answer-key&tier=gold", json=CALL)
    assert answer.status_code == 200, answer.text
    (action,) = answer.json()
    url = action.pop("ws_url")
    assert action == {
        "action": "stream",
        "listen_mode": "caller",
        "voice_quality": str(rate),
        "stream_on_answer": True,
    }
    return path_of(url)


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_call_from_the_webhook_to_the_end(rate: int) -> None:
    async def story() -> None:
        async with Gateway(settings(sample_rate=rate)) as gateway, agent(gateway) as one:
            path = await ask(gateway, rate)
            async with stream(gateway, path) as line:
                offer = await one.offer()
                assert (offer["kind"], offer["caller_rate"]) == ("phone", rate)
                assert (offer["from_number"], offer["to_number"]) == ("919100000000", "4471000000")
                ids = {"name": "piopiy", "call_id": "00c6a018-a912"}
                assert offer["metadata"] == {"tier": "gold", "carrier": ids}
                _, sound = await one.take(offer, caller_rate=rate, bot_rate=rate)
                await until(lambda: gateway.switchboard.playing)
                await line.socket.send(np.full(rate // 50, 1000, "<i2").tobytes())
                assert level(await sound.hear_audio(1)) == 1000

                await sound.socket.send(np.full(rate // 5, -2000, "<i2").tobytes())
                data = (await hear_json(line, "streamAudio"))["data"]
                assert (data["audioDataType"], data["sampleRate"]) == ("raw", rate)
                assert level(base64.b64decode(data["audioData"])) == -2000
                await sound.say(event="clear", epoch=1)
                assert await hear_json(line, "break") == {"action": "break"}
                await sound.say(event="dtmf", digits="1")
                await line.say(whatever="it says is not documented")

                await one.hangup(offer)
                assert await hear_json(line, "stop") == {"action": "stop"}
                assert (await line.closed())[0] == 1000

    asyncio.run(story())


def test_a_drained_gateway_takes_no_carriers_call_and_says_when_to_ask_again() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, client(gateway, key=None) as web:
            gateway.switchboard.drain.switch(on=True)
            answer = await web.post(f"{ANSWER}?key=answer-key", json=CALL)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")

    asyncio.run(story())


def test_without_its_key_no_call_and_without_its_ticket_no_stream() -> None:
    async def story() -> None:
        async with Gateway(settings()) as gateway, agent(gateway) as one:
            async with client(gateway, key=None) as web:
                assert (await web.post(ANSWER, json=CALL)).status_code == 401
                assert (await web.post(f"{ANSWER}?key=guess", json=CALL)).status_code == 403
                assert (await web.post(f"{ANSWER}?key=answer-key", json=[1])).status_code == 422
            path = await ask(gateway)
            assert (await refused(gateway, f"/carrier/piopiy/{AGENT_ID}"))[0] == 401
            assert (await refused(gateway, f"{path[:-3]}AAA"))[0] == 401
            async with stream(gateway, path):
                await one.offer()
            assert (await refused(gateway, path))[0] == 401

    asyncio.run(story())
