"""Callers who come through each carrier's media stream, beside those of `tests.support.chaos`, and what they hear.

The webhooks and messages are those of `tests/gateway/carriers`, which hold them against the carriers' documentation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.audio import g711
from piopiy_pipeline.gateway import Gateway
from tests.gateway.carriers import test_exotel as exotel
from tests.gateway.carriers import test_piopiy as piopiy
from tests.gateway.carriers import test_plivo as plivo
from tests.gateway.carriers import test_telnyx as telnyx
from tests.gateway.carriers import test_twilio as twilio
from tests.gateway.carriers import test_vonage as vonage
from tests.support.calls import AGENT_ID, eventually
from tests.support.carriers import PUBLIC, path_of, payload
from tests.support.chaos import ChaosPlace
from tests.support.gateway_peers import Peer
from tests.support.heard_pitches import FRAME_S, HeardPitches, Lateness
from tests.support.web import client

__all__ = ["CARRIER_SETTINGS", "KEYLESS", "CarrierCaller", "carrier_callers"]

Pcm = NDArray[np.int16]
Way = tuple[str, Mapping[str, str]]
"""A stream's path and the headers with which it is opened."""

KEYLESS = "piopiy"
"""The carrier whose stream has no keys."""
ANSWER_S = 30.0
CARRIER_SETTINGS = (
    "[carriers]",
    f'public_url = "{PUBLIC}"',
    f'twilio = {{ auth_token = "{twilio.TOKEN}", agent = "{AGENT_ID}" }}',
    f'telnyx = {{ public_key = "{telnyx.PUBLIC_KEY}", agent = "{AGENT_ID}" }}',
    f'plivo = {{ auth_token = "{plivo.TOKEN}", agent = "{AGENT_ID}" }}',
    f'exotel = {{ user = "exotel", password = "secret", agent = "{AGENT_ID}" }}',
    f'vonage = {{ signature_secret = "{vonage.SECRET}", agent = "{AGENT_ID}" }}',
    f'piopiy = {{ answer_key = "answer-key", agent = "{AGENT_ID}" }}',
)
"""Lines of a gateway's configuration: all carriers."""


@dataclass(frozen=True, slots=True)
class CarrierWire:
    """How one carrier calls, speaks, presses a key, and reads what it is to play.

    Attributes:
        rate: The sample rate of both directions, in Hz.
        ask: Asks the webhook what to do with a call.
        begin: Says what comes before the audio.
        media: The message with a frame of PCM, the first of which has the number 1.
        key: The message of a key; None for `KEYLESS`.
        sound: What a message of the gateway is to play, as PCM; None for one with no sound.
    """

    rate: int
    ask: Callable[[Gateway], Awaitable[Way]]
    begin: Callable[[Peer], Awaitable[None]]
    media: Callable[[bytes, int], dict[str, Any] | bytes]
    key: Callable[[str], dict[str, Any]] | None
    sound: Callable[[dict[str, Any] | bytes], Pcm | None]


def _decoded(text: str, *, law: bool) -> Pcm:
    raw = base64.b64decode(text)
    return (
        g711.ulaw_decode(np.frombuffer(raw, np.uint8)) if law else np.frombuffer(raw, "<i2").astype(np.int16)
    )


def _sound_in(event: str, *, law: bool = True) -> Callable[[dict[str, Any] | bytes], Pcm | None]:
    def sound(message: dict[str, Any] | bytes) -> Pcm | None:
        if isinstance(message, bytes) or message.get("event") != event:
            return None
        return _decoded(message["media"]["payload"], law=law)

    return sound


def _law(pcm: bytes) -> str:
    return payload(g711.ulaw_encode(np.frombuffer(pcm, "<i2").astype(np.int16)).tobytes())


async def _ask_twilio(gateway: Gateway) -> Way:
    path = await twilio.ask(gateway, "/carrier/twilio/answer")
    return path, twilio.signed(path, scheme="wss")


async def _ask_telnyx(gateway: Gateway) -> Way:
    path, _ = await telnyx.ask(gateway, "/carrier/telnyx/answer")
    return path, {}


async def _ask_plivo(gateway: Gateway) -> Way:
    path, _ = await plivo.ask(gateway, "/carrier/plivo/answer")
    return path, plivo.signed(path, scheme="wss")


async def _ask_exotel(gateway: Gateway) -> Way:
    return "/carrier/exotel?sample-rate=8000", exotel.KEY


async def _ask_vonage(gateway: Gateway) -> Way:
    path, _ = await vonage.ask(gateway, "/carrier/vonage/answer")
    return path, {}


async def _ask_piopiy(gateway: Gateway) -> Way:
    async with client(gateway, key=None) as web:
        answer = await web.post("/carrier/piopiy/answer?key=answer-key", json=piopiy.CALL)
    assert answer.status_code == 200, answer.text
    return path_of(answer.json()[0]["ws_url"]), {}


async def _say_nothing(line: Peer) -> None: ...


def _piopiy_sound(message: dict[str, Any] | bytes) -> Pcm | None:
    if isinstance(message, bytes) or message.get("type") != "streamAudio":
        return None
    return _decoded(message["data"]["audioData"], law=False)


WIRES: dict[str, CarrierWire] = {
    "twilio": CarrierWire(
        8000,
        _ask_twilio,
        twilio.begin,
        lambda pcm, _: {"event": "media", "media": {"track": "inbound", "payload": _law(pcm)}},
        lambda key: {
            "event": "dtmf",
            "streamSid": "MZ0123",
            "dtmf": {"track": "inbound_track", "digit": key},
        },
        _sound_in("media"),
    ),
    "telnyx": CarrierWire(
        8000,
        _ask_telnyx,
        telnyx.begin,
        lambda pcm, n: {
            "event": "media",
            "media": {"track": "inbound", "chunk": str(n), "payload": _law(pcm)},
        },
        lambda key: {"event": "dtmf", "stream_id": "32DE0DEA", "dtmf": {"digit": key}},
        _sound_in("media"),
    ),
    "plivo": CarrierWire(
        8000,
        _ask_plivo,
        plivo.begin,
        lambda pcm, n: {"event": "media", "media": {"track": "inbound", "chunk": n, "payload": _law(pcm)}},
        lambda key: {"event": "dtmf", "streamId": plivo.STREAM, "dtmf": {"digit": key}},
        _sound_in("playAudio"),
    ),
    "exotel": CarrierWire(
        8000,
        _ask_exotel,
        exotel.begin,
        lambda pcm, n: {"event": "media", "media": {"chunk": str(n), "payload": payload(pcm)}},
        lambda key: {"event": "dtmf", "stream_sid": "MZxx", "dtmf": {"digit": key, "duration": "100"}},
        _sound_in("media", law=False),
    ),
    "vonage": CarrierWire(
        16000,
        _ask_vonage,
        vonage.begin,
        lambda pcm, _: pcm,
        lambda key: {"event": "websocket:dtmf", "digit": key, "duration": 260},
        lambda message: (
            np.frombuffer(message, "<i2").astype(np.int16) if isinstance(message, bytes) else None
        ),
    ),
    KEYLESS: CarrierWire(8000, _ask_piopiy, _say_nothing, lambda pcm, _: pcm, None, _piopiy_sound),
}


class CarrierCaller(HeardPitches):
    """One caller behind a carrier, who says nothing and notes what is heard."""

    def __init__(self, name: str, socket: ClientConnection, lateness: Lateness) -> None:
        self.name = name
        self._wire = WIRES[name]
        super().__init__(lateness, rate=self._wire.rate)
        self.call_id = ""
        self.ended: tuple[str, str] | None = None
        """What has closed the stream, if the gateway has: a carrier is told no reason."""
        self._peer = Peer(socket)
        self._keys: deque[dict[str, Any]] = deque()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Begin the call, and speak and listen until it is over."""
        await self._wire.begin(self._peer)
        self._tasks = [asyncio.create_task(self._speak()), asyncio.create_task(self._listen())]

    def press(self, digits: str) -> None:
        """Press keys, before the next frame of audio."""
        assert self._wire.key is not None, "this carrier's stream has no keys"
        self._keys.extend(self._wire.key(digit) for digit in digits)

    async def hang_up(self) -> None:
        """Close the stream, as the carrier does when its caller hangs up."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._peer.socket.close()

    async def _speak(self) -> None:
        frame, began = bytes(2 * round(FRAME_S * self.rate)), self._loop.time()
        with contextlib.suppress(ConnectionClosed):
            for number in count(1):
                while self._keys:
                    await self._peer.say(**self._keys.popleft())
                message = self._wire.media(frame, number)
                await self._peer.socket.send(message if isinstance(message, bytes) else json.dumps(message))
                await asyncio.sleep(max(0.0, began + number * FRAME_S - self._loop.time()))

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self._peer.socket:
                pcm = self._wire.sound(message if isinstance(message, bytes) else json.loads(message))
                if pcm is not None:
                    self.note(pcm)
        self.ended = "closed", ""


async def carrier_callers(place: ChaosPlace, stack: AsyncExitStack) -> list[CarrierCaller]:
    """Call the place's agents through each carrier, one after another, until the stack closes.

    Agents have to tell ``answered`` with the call's id.
    """
    http = place.url.replace("ws:", "http:")
    gateway = cast(Gateway, SimpleNamespace(url=place.url, console_url=http))
    callers: list[CarrierCaller] = []
    for name, wire in WIRES.items():
        known = _answered(place)
        path, headers = await wire.ask(gateway)
        assert re.match(f"/carrier/{name}\\b", path)
        socket = await connect(place.url + path, additional_headers=headers, compression=None, proxy=None)
        caller = CarrierCaller(name, socket, place.lateness)
        stack.push_async_callback(caller.hang_up)
        await caller.begin()
        caller.call_id = await _new_call(place, known)
        callers.append(caller)
    return callers


async def _new_call(place: ChaosPlace, known: set[str]) -> str:
    await eventually(lambda: _answered(place) - known, ANSWER_S)
    [call_id] = _answered(place) - known
    return call_id


def _answered(place: ChaosPlace) -> set[str]:
    return {str(line["call_id"]) for agent in place.agents for line in agent.told("answered")}
