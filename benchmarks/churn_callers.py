"""The short calls of `benchmarks.churn`, over each kind of leg: dial, hear the bot begin to speak, stay, hang up.

They are made in the benchmark's own process: over the gateway's WebSocket, by a scripted telephone (SIP and RTP over
UDP), and by aiortc as a browser (ICE, DTLS, SRTP) whose offers go over HTTP as a page's do.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import MediaSockets, PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia, Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from piopiy_pipeline.signaling.caller import CallStart, Leave
from piopiy_pipeline.signaling.messages import dump

__all__ = ["AGENT_ID", "KEY", "LEGS", "CallFailed", "GatewayAddress", "ShortCalls", "callers_of"]

LIMIT_S = 90.0
FRAME_S, RATE = 0.02, 16000
SILENCE = bytes(640)
QUIET_LAW = b"\xff" * 160
AGENT_ID, KEY = "churn", "caller-key"
LEGS = ("stream", "phone", "browser")


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """Where a gateway is called: the URL of its one port, and the port of its telephones."""

    url: str
    sip_port: int


class CallFailed(Exception):
    """A call ended before the bot was heard.

    Args:
        reason: Why, in the gateway's words.
        full: Whether it may be made again: the calls before it are still being put away.
    """

    def __init__(self, reason: str, *, full: bool = False) -> None:
        super().__init__(reason)
        self.full = full


class ShortCalls(ABC):
    """Makes calls of one kind of leg."""

    @abstractmethod
    async def call(self, stay_s: float) -> None:
        """Dial, hear the bot, stay on the line so long, and hang up. Raises `CallFailed`."""


@asynccontextmanager
async def callers_of(leg: str, address: GatewayAddress) -> AsyncIterator[ShortCalls]:
    """Yield what makes calls of one of `LEGS`."""
    async with AsyncExitStack() as stack:
        if leg == "stream":
            yield StreamCalls(address.url)
        elif leg == "phone":
            ends = await SipEndpoint.open(
                SipConfig(port=0, transports=["udp"], codecs=["PCMU"]), CallsNobody()
            )
            stack.push_async_callback(ends.close)
            yield PhoneCalls(ends, address.sip_port)
        else:
            web = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=address.url.replace("ws:", "http:"), trust_env=False, timeout=LIMIT_S
                )
            )
            yield await BrowserCalls.with_token(web)


async def _speak(
    send: Callable[[], Any],
    until: Callable[[], bool],
    stay_s: float,
    what: str,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> None:
    """Send a frame every 20 ms until the bot is heard, and so much longer, or until the call is over before that."""
    loop = asyncio.get_running_loop()
    began, heard_at = loop.time(), None
    for number in itertools.count(1):
        send()
        await asyncio.sleep(max(0.0, began + number * FRAME_S - loop.time()))
        now = loop.time()
        if heard_at is None and until():
            heard_at = now
        if heard_at is not None and now - heard_at >= stay_s:
            return
        if is_over():
            return
        if heard_at is None and now - began > LIMIT_S:
            raise CallFailed(f"{what} heard nothing for {LIMIT_S:g} s")


# ---------------------------------------------------------------------- over a WebSocket


class StreamCalls(ShortCalls):
    """Calls over the gateway's own WebSocket, as of `piopiy call`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def call(self, stay_s: float) -> None:
        async with connect(
            f"{self._url}/call/{AGENT_ID}",
            additional_headers={"Authorization": f"Bearer {KEY}"},
            compression=None,
            proxy=None,
        ) as line:
            await line.send(dump(CallStart(rate=16000)))
            async with asyncio.timeout(LIMIT_S):
                async for message in line:
                    if isinstance(message, bytes) and any(message):
                        break
                    if isinstance(message, str) and '"ended"' in message:
                        raise CallFailed(message, full='"busy"' in message or '"no_agent"' in message)
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(_hear(line))
                for _ in range(round(stay_s / FRAME_S)):
                    await line.send(SILENCE)
                    await asyncio.sleep(FRAME_S)
                hearing.cancel()
            await line.send(dump(Leave()))


async def _hear(line: ClientConnection) -> None:
    async for _ in line:
        pass


# ---------------------------------------------------------------------- over SIP


class CallsNobody:
    """The listener of the callers' user agent, which nobody calls."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        call.reject(486, "Busy Here", now)


class PhoneCalls(ShortCalls):
    """Calls of a scripted telephone: SIP over UDP, G.711 over RTP."""

    def __init__(self, ends: SipEndpoint, port: int) -> None:
        self._ends = ends
        self._ports = PortPool("127.0.0.1", 40_000, 59_999)
        self._uri = f"sip:bot@127.0.0.1:{port}"

    async def call(self, stay_s: float) -> None:
        loop = asyncio.get_running_loop()
        phone = TelephoneLine(self._ports.open())
        try:
            call = self._ends.invite(self._uri, phone.negotiation.offer(), phone)
            async with asyncio.timeout(LIMIT_S):
                waits: set[asyncio.Future[Any]] = {phone.answered, phone.ended}
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if phone.ended.done():
                code = phone.ended.result()
                raise CallFailed(f"SIP {code}", full=code in (480, 486, 503))
            await _speak(phone.send_frame, phone.hear, stay_s, "a telephone")
            call.hangup(loop.time())
            async with asyncio.timeout(LIMIT_S):
                await phone.ended
        finally:
            phone.close()


class TelephoneLine:
    """One call of the scripted telephone: the `CallListener` of it, and its audio."""

    def __init__(self, sockets: MediaSockets) -> None:
        loop = asyncio.get_running_loop()
        self.answered: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.negotiation = Negotiation(
            host="127.0.0.1", port=sockets.port, codecs=["PCMU"], session_id=1, rtcp_mux=False
        )
        self._sockets = sockets
        self._to: tuple[str, int] | None = None
        self._sent, self._ssrc = 0, secrets.randbits(32)
        self._heard = False

    # ------------------------------------------------------------------ signalling's side

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        assert description is not None
        media: AgreedMedia = self.negotiation.accept(description)
        self._to = (media.host, media.port)
        if not self.answered.done():
            self.answered.set_result(None)

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if not self.ended.done():
            self.ended.set_result(code)

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> None: ...

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...

    # ------------------------------------------------------------------ its audio

    def send_frame(self) -> None:
        """Send 20 ms of silence."""
        packet = build_rtp(0, self._sent & 0xFFFF, self._sent * 160, self._ssrc, QUIET_LAW)
        self._sent += 1
        with contextlib.suppress(OSError):
            if self._to is not None:
                self._sockets.rtp.sendto(packet, self._to)

    def hear(self) -> bool:
        """Return whether the bot has been heard."""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                law = np.frombuffer(parse_rtp(self._sockets.rtp.recv(2048)).payload, np.uint8)
                self._heard = self._heard or bool(((~law & 0x7F) > 0x20).any())
        return self._heard

    def close(self) -> None:
        self._sockets.close()


# ---------------------------------------------------------------------- over WebRTC


class BrowserCalls(ShortCalls):
    """Calls of pages, each a peer connection of aiortc over loopback."""

    def __init__(self, web: httpx.AsyncClient, token: str) -> None:
        self._web = web
        self._headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    async def with_token(cls, web: httpx.AsyncClient) -> BrowserCalls:
        """Ask a gateway whose console is open for the token with which pages call."""
        import aioice.ice

        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
        answer = await web.post("/api/tokens", json={"agent_id": AGENT_ID, "ttl_s": 3600})
        answer.raise_for_status()
        return cls(web, answer.json()["token"])

    async def call(self, stay_s: float) -> None:
        from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription

        from piopiy_pipeline.gateway.webrtc.peer_audio import PeerAudio

        heard: list[bool] = []

        def hear(pcm: bytes) -> None:
            if not heard and np.abs(np.frombuffer(pcm, np.int16)).max(initial=0) > 300:
                heard.append(True)

        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.createDataChannel("chat")
        audio = PeerAudio(connection.addTransceiver("audio"), rate=RATE, on_caller_audio=hear)
        try:
            await connection.setLocalDescription(await connection.createOffer())
            offer = {"sdp": connection.localDescription.sdp, "type": "offer"}
            answer = await self._web.post("/api/offer", json=offer, headers=self._headers)
            if answer.status_code != 200:
                raise CallFailed(f"HTTP {answer.status_code}: {answer.text}", full=answer.status_code == 503)
            description = RTCSessionDescription(sdp=answer.json()["sdp"], type="answer")
            await connection.setRemoteDescription(description)
            await _speak(
                lambda: audio.send_audio(SILENCE),
                lambda: bool(heard),
                stay_s,
                "a browser",
                is_over=lambda: connection.connectionState in ("closed", "failed"),
            )
            if not heard:
                raise await self._why(answer.json()["call_id"])
        finally:
            audio.close()
            await connection.close()

    async def _why(self, call_id: str) -> CallFailed:
        """Ask the gateway why it has ended a call."""
        reason = (await self._web.get(f"/api/calls/{call_id}")).json()["call"]["reason"]
        return CallFailed(f"ended: {reason}", full=reason in ("busy", "no_agent"))
