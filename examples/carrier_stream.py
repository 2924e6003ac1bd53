"""A carrier's media stream: how a call from Twilio reaches the bot, shown with a pretended Twilio.

The bot is the front desk, unchanged: a carrier is a table of the gateway's configuration (see SETTINGS).
What follows below it is what Twilio does: it asks the gateway's webhook what to do with a call, opens
the WebSocket that the answer names, sends the caller's sound and plays the bot's.

    python -m examples.carrier_stream tests/audio/booking/01-people.wav      # any recordings: one a turn

It prints how the call has ended, and writes what the caller heard to heard.wav. Nothing leaves this machine.
"""

import asyncio
import base64
import json
import re
import secrets
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import soundfile
from websockets.asyncio.client import ClientConnection, connect

from examples import front_desk
from piopiy.agent import Agent
from piopiy_pipeline.audio import g711
from piopiy_pipeline.audio.wav import WavError, read_wav
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.gateway.carriers.twilio import twilio_signature
from piopiy_pipeline.services.providers import prepare

PUBLIC_URL = "https://voice.example"  # under which Twilio would reach the gateway: its signatures cover it
AUTH_TOKEN = "the-auth-token-of-your-account"
AGENT_TOKEN = secrets.token_urlsafe()
SETTINGS: dict[str, Any] = {
    "port": 0,
    "agents": {"front_desk": AGENT_TOKEN},
    "carriers": {"public_url": PUBLIC_URL, "twilio": {"auth_token": AUTH_TOKEN}},
    "records": False,
    "webrtc_workers": 0,
}
RATE = 8000
FRAME = 160  # samples: 20 ms
CALL = {"CallSid": "CA0123", "AccountSid": "AC0123", "From": "+15550100", "To": "+15550199"}
TURN_S = 6.0
"""After each recording the caller listens for this long."""


async def ask(gateway: Gateway) -> str:
    """Twilio's webhook: where the call is to be streamed. Returns the path of the stream."""
    path = "/carrier/twilio/front_desk/answer"
    signature = twilio_signature(AUTH_TOKEN, PUBLIC_URL + path, list(CALL.items()))
    url = gateway.console_url.rstrip("/") + path
    async with httpx.AsyncClient(trust_env=False) as web:
        answer = await web.post(url, data=CALL, headers={"X-Twilio-Signature": signature})
    found = re.search(r'<Stream url="([^"]+)"', answer.raise_for_status().text)
    assert found is not None, answer.text
    return urlsplit(found[1]).path


async def speak(socket: ClientConnection, recordings: list[np.ndarray]) -> None:
    """The caller: their recordings in turn, with silence between, in real time."""
    silence = np.zeros(int(TURN_S * RATE), np.int16)
    sound = np.concatenate([silence, *(part for said in recordings for part in (said, silence))])
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, at in enumerate(range(0, len(sound) - FRAME, FRAME)):
        payload = base64.b64encode(g711.ulaw_encode(sound[at : at + FRAME]).tobytes()).decode()
        media = {
            "track": "inbound",
            "chunk": str(number + 1),
            "timestamp": str(number * 20),
            "payload": payload,
        }
        await socket.send(json.dumps({"event": "media", "streamSid": "MZ0123", "media": media}))
        await asyncio.sleep(max(0.0, began + (number + 1) * FRAME / RATE - loop.time()))
    await socket.send(json.dumps({"event": "stop", "streamSid": "MZ0123", "stop": {}}))


async def listen(socket: ClientConnection, heard: list[np.ndarray]) -> None:
    """The caller's ear: what the bot says comes in pieces of 20 ms, and marks are given back when played."""
    async for text in socket:
        message = json.loads(text)
        if message["event"] == "media":
            codes = np.frombuffer(base64.b64decode(message["media"]["payload"]), np.uint8)
            heard.append(g711.ulaw_decode(codes))
        elif message["event"] == "mark":
            await socket.send(text)


async def call(gateway: Gateway, recordings: list[np.ndarray]) -> np.ndarray:
    """One call from the webhook to the end. Returns what the caller heard: int16 of shape [samples] at 8 kHz."""
    path = await ask(gateway)
    signature = twilio_signature(AUTH_TOKEN, PUBLIC_URL.replace("https", "wss") + path, [])
    headers = {"X-Twilio-Signature": signature}
    heard: list[np.ndarray] = []
    async with connect(
        gateway.url + path, additional_headers=headers, compression=None, proxy=None
    ) as socket:
        await socket.send(json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}))
        start = {
            "streamSid": "MZ0123",
            "accountSid": CALL["AccountSid"],
            "callSid": CALL["CallSid"],
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
            "customParameters": {},
        }
        await socket.send(
            json.dumps({"event": "start", "sequenceNumber": "1", "start": start, "streamSid": "MZ0123"})
        )
        speaking = asyncio.create_task(speak(socket, recordings))
        await listen(socket, heard)  # ends when the gateway closes the stream
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    return np.concatenate(heard) if heard else np.zeros(0, np.int16)


async def main(paths: list[Path]) -> None:
    try:
        recordings = [read_wav(path, RATE) for path in paths]
    except WavError as error:
        sys.exit(str(error))
    await prepare(playbook=front_desk.PLAYBOOK)  # so that the first caller does not wait for the models
    async with Gateway(GatewayConfig.model_validate(SETTINGS)) as gateway:
        agent = Agent("front_desk", AGENT_TOKEN, front_desk.on_new_session, signaling_url=gateway.url)
        serving = asyncio.create_task(agent.connect())
        try:
            await gateway.wait_for_agent("front_desk", 30)
            heard = await call(gateway, recordings)
        finally:
            await agent.shutdown()
            await asyncio.gather(serving, return_exceptions=True)
        soundfile.write("heard.wav", heard, RATE)
        (ended,) = gateway.switchboard.snapshot().ended
        print(
            f"{ended.from_number} called {ended.to_number}: {ended.reason}; {len(heard) / RATE:.1f} s heard"
        )


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python -m examples.carrier_stream RECORDING.wav ...")
    asyncio.run(main([Path(name) for name in sys.argv[1:]]))
