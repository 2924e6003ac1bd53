"""The callers of ``webrtc_leg.py``, and for our side the agent, which sends back what it hears.

It is not started by hand. It writes a JSON line for each offer, and reads one for each answer. Whenever it
reads
``{"count": true}``, it prints how many packets of audio each caller has heard so far. Callers speak a
recording
all the time, 20 ms a packet, with the audio path of our own leg, which is light, so that many fit beside what
is
measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aioice.ice
import soundfile
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.webrtc_sides import AGENT_ID, TOKEN
from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio

RECORDING = Path(__file__).resolve().parent.parent / "tests/audio/booking/01-people.wav"
RATE = 16000
FRAME_BYTES = RATE // 50 * 2


class Caller:
    """One connection, and what was heard on it."""

    def __init__(self) -> None:
        self.heard = 0
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.connection.createDataChannel("chat")
        self.audio = PeerAudio(self.connection.addTransceiver("audio"), rate=RATE, on_caller_audio=self._hear)

    def _hear(self, pcm: bytes) -> None:
        self.heard += 1


class EchoAgent:
    """An agent of a few lines, which takes every call and sends back what it hears."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve calls until cancelled."""
        async with connect(
            f"{self._url}/agent", additional_headers=_bearer(TOKEN), compression=None, proxy=None
        ) as socket:
            await _say(
                socket,
                {
                    "type": "register",
                    "protocol": 1,
                    "agent_id": AGENT_ID,
                    "instance_id": "1",
                    "capacity": 100,
                },
            )
            async for text in socket:
                message = json.loads(text)
                if message["type"] == "ping":
                    await _say(socket, {"type": "pong", "n": message["n"]})
                elif message["type"] == "offer":
                    task = asyncio.create_task(self._take(socket, message))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)

    async def _take(self, socket: ClientConnection, offer: dict[str, Any]) -> None:
        async with connect(
            self._url + offer["media_path"],
            additional_headers=_bearer(offer["media_token"]),
            compression=None,
            proxy=None,
        ) as media:
            await _say(media, {"event": "start", "caller_rate": RATE, "bot_rate": RATE})
            call = {"call_id": offer["call_id"]}
            await _say(socket, {"type": "accept", "offer_id": offer["offer_id"], **call})
            await _say(socket, {"type": "answer", **call})
            async for piece in media:
                if isinstance(piece, bytes):
                    await media.send(piece)


async def talk(callers: list[Caller]) -> None:
    """Make all callers speak for ever; each begins at another place in the recording."""
    samples, _ = soundfile.read(RECORDING, dtype="int16")
    pcm = samples.astype("<i2").tobytes()
    frames = [pcm[at : at + FRAME_BYTES] for at in range(0, len(pcm) - FRAME_BYTES, FRAME_BYTES)]
    loop = asyncio.get_running_loop()
    began, tick = loop.time(), 0
    while True:
        for number, caller in enumerate(callers):
            caller.audio.send_audio(frames[(tick + 17 * number) % len(frames)])
        tick += 1
        await asyncio.sleep(max(0.0, began + tick * 0.02 - loop.time()))


async def main() -> None:
    """Offer, connect, talk, and count when asked, until standard input ends."""
    options = argparse.ArgumentParser()
    options.add_argument("--calls", type=int, required=True)
    options.add_argument("--url")
    chosen = options.parse_args()
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    agent = asyncio.create_task(EchoAgent(chosen.url).run()) if chosen.url else None
    callers = [Caller() for _ in range(chosen.calls)]
    for number, caller in enumerate(callers):
        await caller.connection.setLocalDescription(await caller.connection.createOffer())
        print(json.dumps({"n": number, "sdp": caller.connection.localDescription.sdp}), flush=True)
    for _ in callers:
        answer = json.loads(await asyncio.to_thread(sys.stdin.readline))
        await callers[answer["n"]].connection.setRemoteDescription(
            RTCSessionDescription(sdp=answer["sdp"], type="answer")
        )
    talking = asyncio.create_task(talk(callers))
    while await asyncio.to_thread(sys.stdin.readline):
        print(json.dumps({"heard": [caller.heard for caller in callers]}), flush=True)
    talking.cancel()
    if agent is not None:
        agent.cancel()
    for caller in callers:
        caller.audio.close()
        await caller.connection.close()


async def _say(socket: ClientConnection, message: dict[str, Any]) -> None:
    await socket.send(json.dumps(message))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
