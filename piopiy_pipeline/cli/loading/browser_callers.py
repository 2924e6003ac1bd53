"""Callers of `piopiy load` with a browser: WebRTC, begun as a page does, with a client token and an offer.

Their audio takes the same path as the gateway's own (`PeerAudio`), which is a fraction of what aiortc's costs, so that
many fit beside each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Self

import aiohttp
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription

from piopiy_pipeline.call import EndReason
from piopiy_pipeline.cli.call_report import CallOutcome
from piopiy_pipeline.cli.carried_call import CarriedCall
from piopiy_pipeline.cli.errors import Failed
from piopiy_pipeline.cli.gateway_link import GatewayLink
from piopiy_pipeline.cli.target import Target
from piopiy_pipeline.error_text import system_text
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses
from piopiy_pipeline.gateway.webrtc.ice_gathering import gather_at
from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio
from piopiy_pipeline.signaling.caller import Answered, CallStart, Leave, LegEnded, parse_caller_event
from piopiy_pipeline.testing.line.callers import Caller

__all__ = ["BrowserCallers"]

RATE = 16_000
_REQUEST_S = 20.0
_CLOSE_S = 3.0
_TICKS = 50  # frames between two calls of `PeerAudio.tick`
_LOOPBACK = "127.0.0.1"


class BrowserCallers:
    """Browsers in this process, with the HTTP client that they share. Use it as an async context manager.

    Args:
        target: The gateway and the agent.
        api_key: Asks for client tokens; None: the gateway's console is open, as that of `piopiy dev`.
        loopback: Whether the gateway is on this machine's loopback, where ICE otherwise looks for no path.
    """

    def __init__(self, target: Target, api_key: str | None, *, loopback: bool) -> None:
        self._target = target
        self._key = api_key
        self._url = target.url.replace("ws", "http", 1)
        self._http: aiohttp.ClientSession | None = None
        self._loopback = loopback

    async def __aenter__(self) -> Self:
        if self._loopback:
            gather_at(IceAddresses(own=(_LOOPBACK,)))
        self._http = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=_REQUEST_S), trust_env=not self._loopback
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()

    async def call(
        self,
        caller: Caller,
        start: CallStart,
        *,
        tell: Callable[[GatewayLink], None],
        limit_s: float,
        tells_barge_in: bool,
        hang_up: asyncio.Event,
    ) -> CallOutcome:
        """Open the page, carry the call to its end, and return how it went. The arguments are those of `place_call`.

        The call counts as answered when the page is connected, because a page is not told when the bot is ready.

        Raises:
            Failed: The gateway refuses the token or the offer, or there is no connection.
        """
        start = start.model_copy(update={"rate": RATE})
        link = GatewayLink(start, limit_s=limit_s, tells_barge_in=tells_barge_in)
        route = _BrowserRoute()
        try:
            await self._connect(route, start)
        except BaseException:
            await route.close()
            raise
        route.carried = CarriedCall(route, link, tell)
        async with route.carried as call:
            return await call.converse(caller, hang_up)

    async def _connect(self, route: _BrowserRoute, start: CallStart) -> None:
        asked = {"agent_id": self._target.agent_id, "metadata": start.metadata}
        if start.from_number is not None:
            asked["identity"] = start.from_number
        if start.to_number is not None:
            asked["to_number"] = start.to_number
        token = (await self._post("/api/tokens", self._key, asked))["token"]
        answer = await self._post("/api/offer", token, {"sdp": await route.offer(), "type": "offer"})
        await route.accept(answer["sdp"])

    async def _post(self, path: str, key: str | None, body: dict[str, Any]) -> dict[str, Any]:
        assert self._http is not None
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            async with self._http.post(self._url + path, json=body, headers=headers) as response:
                if response.status != 200:
                    said = " ".join((await response.text()).split())[:160]
                    hint = (
                        "; see --api-key" if path == "/api/tokens" and response.status in (401, 403) else ""
                    )
                    raise Failed(f"{path} was refused ({response.status}: {said}){hint}")
                found: dict[str, Any] = await response.json()
                return found
        except TimeoutError:
            raise Failed(f"{path} was not answered within {_REQUEST_S:g} s") from None
        except aiohttp.ClientError as error:
            raise Failed(f"{path}: {system_text(error)}") from None


class _BrowserRoute:
    """One page: its peer connection, and the `CallCarrier` of its caller."""

    def __init__(self) -> None:
        self.carried: CarriedCall | None = None
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connection.createDataChannel("chat", ordered=True)
        transceiver = self._connection.addTransceiver("audio", direction="sendrecv")
        opus = [
            one
            for one in RTCRtpSender.getCapabilities("audio").codecs
            if one.mimeType.lower() == "audio/opus"
        ]
        transceiver.setCodecPreferences(opus)
        self._audio = PeerAudio(transceiver, rate=RATE, on_caller_audio=self._hear)
        self._loop = asyncio.get_running_loop()
        self._frames = 0
        self._heard = False
        self._leaving = False
        self._connection.on("connectionstatechange", self._on_state)

    async def offer(self) -> str:
        """Return the SDP of this page's offer."""
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return str(self._connection.localDescription.sdp)

    async def accept(self, sdp: str) -> None:
        """Take the gateway's answer, and begin to connect."""
        await self._connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    # ------------------------------------------------------------------ from the caller

    def post_text(self, message: str) -> None:
        match parse_caller_event(message):
            case CallStart():
                self._loop.call_soon(self._on_state)  # it may be connected already
            case Leave():
                self._leaving = True
                self._loop.call_soon(self._ended, EndReason.CALLER_HANGUP, "")
            case _:
                return  # the callers of this command press no keys

    def post_binary(self, data: bytes) -> None:
        self._audio.send_audio(data)
        self._frames += 1
        if self._frames % _TICKS == 0:
            self._audio.tick(self._loop.time())

    async def close(self) -> None:
        self._leaving = True
        self._audio.close()
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._connection.close()
        except TimeoutError:
            return  # the gateway gives the call up by itself

    # ------------------------------------------------------------------ from the connection

    def _hear(self, pcm: bytes) -> None:
        self._heard = True
        if self.carried is not None:
            self.carried.on_audio(pcm)

    def _on_state(self) -> None:
        if self.carried is None or self._leaving:
            return
        match self._connection.connectionState:
            case "connected":
                self.carried.on_event(Answered())
            case "failed":
                self._ended(EndReason.GATEWAY_LOST, "no path to the gateway was found, or it was lost")
            case "closed" if self._heard:
                self._ended(EndReason.AGENT_HANGUP, "")
            case "closed":
                self._ended(EndReason.ERROR, "the gateway closed the call before the bot was heard")

    def _ended(self, reason: EndReason, detail: str) -> None:
        assert self.carried is not None
        self.carried.on_event(LegEnded(reason=reason, detail=detail))
