"""An agent without a bot: it takes every call, and sends the caller's audio back as it comes.

    python -m benchmarks.echo_agent --url ws://127.0.0.1:7860 --agent echo --token ...

The gateway's cost and the delay through it are measured against this agent, because it adds next to nothing.
It speaks the protocol of `signaling.messages` by hand, so that nothing of our own agent is measured with it.

An echo never pauses. What a stall of any process piles up at the gateway would be heard late for the rest of
the call, while a bot begins anew with each answer. So the echo leaves out what it has been ahead by for a
second: the delay of the path is measured, and not the history of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import deque
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

__all__ = ["EchoAgent"]


REPORTS = 5
"""Of what was played, 200 ms apart: the least that waited in so many is more than is needed."""


class Lead:
    """How far an echo is ahead of the playout, in samples, and what it leaves out to be less ahead."""

    def __init__(self) -> None:
        self._sent = 0
        self._waited: deque[int] = deque(maxlen=REPORTS)
        self._spare = 0

    def wants(self, piece: bytes) -> bool:
        """Return whether to send this piece."""
        samples = len(piece) // 2
        if self._spare >= samples:
            self._spare -= samples
            return False
        self._sent += samples
        return True

    def played(self, position: int) -> None:
        """Take note that samples up to `position` have been played."""
        self._waited.append(self._sent - position)
        if len(self._waited) == REPORTS:
            self._spare = min(self._waited)
            if self._spare:
                self._waited.clear()


class EchoAgent:
    """An agent that echoes. `serve` runs until its connection ends, and `calls` counts the calls that it
    took.
    """

    def __init__(self, url: str, agent_id: str, token: str, *, capacity: int = 500, rate: int = 8000) -> None:
        self.calls = 0
        self._url, self._agent_id, self._token = url, agent_id, token
        self._capacity, self._rate = capacity, rate
        self._media: dict[str, asyncio.Task[None]] = {}

    async def serve(self) -> None:
        """Register, and take calls."""
        headers = {"Authorization": f"Bearer {self._token}"}
        async with connect(
            f"{self._url}/agent", additional_headers=headers, compression=None, proxy=None
        ) as socket:
            await _say(
                socket,
                type="register",
                agent_id=self._agent_id,
                instance_id="echo",
                capacity=self._capacity,
            )
            try:
                while True:
                    await self._hear(socket, json.loads(await socket.recv()))
            except ConnectionClosed:
                pass
            finally:
                for task in self._media.values():
                    task.cancel()

    async def _hear(self, socket: ClientConnection, message: dict[str, Any]) -> None:
        call_id = message.get("call_id", "")
        match message["type"]:
            case "offer":
                task = asyncio.create_task(self._take(socket, message))
                self._media[call_id] = task
                task.add_done_callback(lambda _: self._media.pop(call_id, None))
            case "confirm":
                await _say(socket, type="answer", call_id=call_id)
            case "ping":
                await _say(socket, type="pong", n=message["n"])

    async def _take(self, socket: ClientConnection, offer: dict[str, Any]) -> None:
        headers = {"Authorization": f"Bearer {offer['media_token']}"}
        async with connect(
            self._url + offer["media_path"], additional_headers=headers, compression=None, proxy=None
        ) as media:
            await _say(media, event="start", caller_rate=self._rate, bot_rate=self._rate)
            await _say(socket, type="accept", call_id=offer["call_id"], offer_id=offer["offer_id"])
            self.calls += 1
            lead = Lead()
            try:
                while True:
                    piece = await media.recv()
                    if isinstance(piece, bytes):
                        if lead.wants(piece):
                            await media.send(piece)
                    elif (event := json.loads(piece))["event"] == "played":
                        lead.played(event["position"])
            except ConnectionClosed:
                pass


async def _say(socket: ClientConnection, **message: Any) -> None:
    await socket.send(json.dumps(message))


def main() -> None:
    """Serve until the gateway closes the connection."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", required=True)
    parser.add_argument("--agent", default="echo")
    parser.add_argument("--token", required=True)
    parser.add_argument("--capacity", type=int, default=500)
    options = parser.parse_args()
    agent = EchoAgent(options.url, options.agent, options.token, capacity=options.capacity)
    asyncio.run(agent.serve())


if __name__ == "__main__":
    main()
