"""An agent and a caller of a few lines each, over plain websockets, with which a gateway is tested."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from piopiy_pipeline.gateway import Gateway, GatewayConfig

AGENT_ID = "front-desk"
AGENT_TOKEN = "agent-token"
CALLER_KEY = "caller-key"
PATIENCE_S = 30.0
"""So long is waited for what has to come, in seconds: a busy machine is late, and no test is about that."""


def config(**settings: Any) -> GatewayConfig:
    """Return a configuration for any free port of loopback, with one agent and one caller, and long
    deadlines.
    """
    defaults: dict[str, Any] = {
        "port": 0,
        "agents": {AGENT_ID: AGENT_TOKEN},
        "caller_keys": [CALLER_KEY],
        "offer_ms": 5000,
        "callers_may_watch": True,
        "records": False,
        "webrtc_workers": 0,
    }
    return GatewayConfig(**{**defaults, **settings})


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def until(condition: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Wait for a condition that something on this loop makes true."""
    for _ in range(int(patience_s / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"still not so after {patience_s:g} s")


class Peer:
    """A WebSocket connection that speaks JSON, and keeps audio apart."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.audio: list[bytes] = []

    async def say(self, **message: Any) -> None:
        await self.socket.send(json.dumps(message))

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next message of one of these kinds (any, without one). Others are skipped, audio is
        kept.
        """

        def wanted(message: dict[str, Any]) -> bool:
            kind = message.get("type") or message.get("event")
            return kind != "ping" and (not kinds or kind in kinds)

        return await self.hear_where(wanted, " or ".join(kinds) or "message")

    async def hear_where(self, wanted: Callable[[dict[str, Any]], bool], name: str) -> dict[str, Any]:
        """The next message that is wanted. Others are skipped, audio is kept. `name` is for the failure."""
        skipped: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    message = await self.socket.recv()
                    if isinstance(message, bytes):
                        self.audio.append(message)
                        continue
                    parsed: dict[str, Any] = json.loads(message)
                    if wanted(parsed):
                        return parsed
                    skipped.append(parsed)
        except TimeoutError:
            came = (
                f"{len(skipped)} other messages, the last ones {skipped[-3:]}, and {len(self.audio)} of audio"
            )
            raise AssertionError(f"no {name} came within {PATIENCE_S:g} s, but {came}"[:2000]) from None

    async def hear_audio(self, pieces: int) -> bytes:
        """Return the next so many audio messages, joined."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while len(self.audio) < pieces:
                    message = await self.socket.recv()
                    if isinstance(message, bytes):
                        self.audio.append(message)
        except TimeoutError:
            came = f"{len(self.audio)} of {pieces} audio messages came"
            raise AssertionError(f"{came} within {PATIENCE_S:g} s") from None
        taken, self.audio = self.audio[:pieces], self.audio[pieces:]
        return b"".join(taken)

    async def hear_audio_bytes(self, length: int) -> bytes:
        """Return the next so many bytes of audio, in however many messages they come."""
        heard = b""
        while len(heard) < length:
            heard += await self.hear_audio(1)
        if len(heard) > length:
            self.audio.insert(0, heard[length:])
        return heard[:length]

    async def closed(self) -> tuple[int | None, str]:
        """Wait for the close, and return its code and reason."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                while True:
                    await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code, self.socket.close_reason or ""

    def die(self) -> None:
        """Cut the connection, as if the process had been killed."""
        self.socket.transport.abort()


class ScriptedAgent(Peer):
    """An instance of the agent that does what the test says."""

    def __init__(self, socket: ClientConnection, url: str = "") -> None:
        super().__init__(socket)
        self.url = url
        self.media: list[Peer] = []

    async def register(self, instance_id: str, *, capacity: int = 10, **more: Any) -> None:
        await self.say(
            **{
                "type": "register",
                "agent_id": AGENT_ID,
                "instance_id": instance_id,
                "capacity": capacity,
                "roams": False,
                **more,
            }
        )

    async def offer(self) -> dict[str, Any]:
        return await self.hear("offer")

    async def open_media(self, offer: dict[str, Any], **start: Any) -> Peer:
        media = Peer(
            await connect(
                self.url + offer["media_path"],
                additional_headers=bearer(offer["media_token"]),
                compression=None,
                proxy=None,
            )
        )
        self.media.append(media)
        await media.say(**{"event": "start", "caller_rate": 16000, "bot_rate": 16000, **start})
        return media

    async def accept(self, offer: dict[str, Any]) -> None:
        await self.say(type="accept", call_id=offer["call_id"], offer_id=offer["offer_id"])

    async def answer(self, offer: dict[str, Any]) -> None:
        await self.say(type="answer", call_id=offer["call_id"])

    async def hangup(self, offer: dict[str, Any], reason: str = "agent_hangup", detail: str = "") -> None:
        await self.say(type="hangup", call_id=offer["call_id"], reason=reason, detail=detail)

    async def take(self, offer: dict[str, Any] | None = None, **start: Any) -> tuple[dict[str, Any], Peer]:
        """Take the next call, up to its answer. Returns the offer and the media stream."""
        offer = offer or await self.offer()
        media = await self.open_media(offer, **start)
        await self.accept(offer)
        await self.hear("confirm")
        await self.answer(offer)
        return offer, media


@asynccontextmanager
async def agent(gateway: Gateway, instance_id: str = "one", **register: Any) -> AsyncIterator[ScriptedAgent]:
    """Run a registered instance."""
    async with connect(
        f"{gateway.url}/agent", additional_headers=bearer(AGENT_TOKEN), compression=None, proxy=None
    ) as socket:
        scripted = ScriptedAgent(socket, gateway.url)
        await scripted.register(instance_id, **register)
        await scripted.hear("registered")
        try:
            yield scripted
        finally:
            for media in scripted.media:
                media.die()
                await media.socket.wait_closed()


@asynccontextmanager
async def caller(gateway: Gateway, *, rate: int = 16000, **start: Any) -> AsyncIterator[Peer]:
    """Run a caller who has dialled."""
    async with connect(
        f"{gateway.url}/call/{AGENT_ID}", additional_headers=bearer(CALLER_KEY), compression=None, proxy=None
    ) as socket:
        peer = Peer(socket)
        await peer.say(event="start", rate=rate, **start)
        yield peer
