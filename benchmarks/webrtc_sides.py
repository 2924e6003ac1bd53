"""The two sides that ``webrtc_leg.py`` measures: our gateway, and bare aiortc that sends back what it hears.

It is not started by hand. It reads a JSON line for each offer (``{"n": 0, "sdp": ...}``), and writes one for
each answer. The first line that it writes names the processes whose time counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

Answer = Callable[[str], Awaitable[str]]
AGENT_ID, TOKEN = "echo", "agent-token"


async def serve(answer: Answer, hello: dict[str, Any]) -> None:
    """Answer offers from standard input until it ends."""
    print(json.dumps(hello), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        offer = json.loads(line)
        print(json.dumps({"n": offer["n"], "sdp": await answer(offer["sdp"])}), flush=True)


async def ours(workers: int) -> None:
    """Run the gateway with its workers. The agent connects from elsewhere."""
    from piopiy_pipeline.gateway import Gateway, GatewayConfig
    from piopiy_pipeline.gateway.access.client_tokens import ClientTokens, TokenRequest
    from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer
    from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls

    loop = asyncio.get_running_loop()
    config = GatewayConfig(port=0, agents={AGENT_ID: TOKEN}, webrtc_workers=0, records=False, offer_ms=5000)
    tokens = ClientTokens(None, [AGENT_ID], wall=time.time)
    claims = tokens.verify(tokens.grant(TokenRequest(agent_id=AGENT_ID)).token)
    async with Gateway(config) as gateway:
        calls = WebRtcCalls(
            workers=workers,
            addresses=["127.0.0.1"],
            place=lambda info, leg, options=None: gateway.switchboard.place(info, leg, loop.time(), options),
        )
        await calls.start()
        try:
            await calls.ready()

            async def answer(sdp: str) -> str:
                return (await calls.offer(BrowserOffer(sdp=sdp), claims)).sdp

            pids = {"gateway": [os.getpid()], "workers": [worker.pid for worker in calls.processes]}
            await serve(answer, {"url": gateway.url, "pids": pids})
        finally:
            await calls.close()


async def aiortc_echo() -> None:
    """Run bare aiortc: each connection sends its own track back."""
    import aioice.ice
    from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    connections = []

    async def answer(sdp: str) -> str:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connections.append(connection)

        def on_track(track: MediaStreamTrack) -> None:
            connection.addTrack(track)

        connection.on("track", on_track)
        await connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    try:
        await serve(answer, {"url": None, "pids": {"aiortc": [os.getpid()]}})
    finally:
        await asyncio.gather(*(connection.close() for connection in connections))


def main() -> None:
    """Run one side, on uvloop if it is installed, as the gateway does."""
    options = argparse.ArgumentParser()
    options.add_argument("side", choices=["aiortc", "ours"])
    options.add_argument("--workers", type=int, default=1)
    chosen = options.parse_args()
    from loguru import logger

    logger.remove()
    logger.add(sys.stderr, level="WARNING")
    run = asyncio.run
    if sys.platform != "win32":
        import uvloop

        run = uvloop.run
    run(ours(chosen.workers) if chosen.side == "ours" else aiortc_echo())


if __name__ == "__main__":
    main()
