"""A browser of a few lines: aiortc on the caller's side, over loopback, in the test's own process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aioice.ice
import numpy as np
import pytest
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame
from numpy.typing import NDArray

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access.client_tokens import TokenClaims
from piopiy_pipeline.gateway.webrtc.browser_offers import BrowserOffer
from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls
from tests.support.gateway_peers import AGENT_ID
from tests.support.microphone import RATE, Microphone

CLAIMS = TokenClaims(
    audience="piopiy-call",
    issued_at=1_800_000_000,
    expires_at=1_800_000_600,
    token_id="token-1",
    identity="ada",
    agent_id=AGENT_ID,
    to_number="shop",
    metadata={"table": 4},
)


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the test's own peers offer loopback, which ICE otherwise leaves out, and nothing else."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class Browser:
    """One page: a microphone, a loudspeaker, and the data channel of Pipecat's clients."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.microphone = Microphone()
        self.heard: list[NDArray[np.int16]] = []
        self.messages: list[dict[str, Any]] = []
        self.pc_id: str | None = None
        self.call_id: str | None = None
        self.channel: RTCDataChannel = self.connection.createDataChannel("chat", ordered=True)
        self.connection.addTrack(self.microphone)
        self._listening: set[asyncio.Future[None]] = set()
        self.channel.on("message", lambda text: self.messages.append(json.loads(text)))
        self.connection.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._listening.add(asyncio.ensure_future(self._listen(track)))

    async def _listen(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, AudioFrame)
            pcm = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
            self.heard.append(pcm.astype(np.int16))

    async def offer(self, *, pc_id: str | None = None, restart: bool | None = None) -> BrowserOffer:
        """Return what this page would post."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = self.connection.localDescription.sdp
        return BrowserOffer(sdp=sdp, type="offer", pc_id=pc_id, restart_pc=restart)

    async def call(
        self,
        calls: WebRtcCalls,
        claims: TokenClaims = CLAIMS,
        *,
        pc_id: str | None = None,
        restart: bool | None = None,
    ) -> None:
        """Make an offer, and take the answer."""
        answer = await calls.offer(await self.offer(pc_id=pc_id, restart=restart), claims)
        self.pc_id, self.call_id = answer.pc_id, answer.call_id
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer.sdp, type="answer"))

    def say(self, message: dict[str, Any]) -> None:
        """Send a message on the data channel."""
        self.channel.send(json.dumps(message))

    @property
    def sound(self) -> NDArray[np.int16]:
        """Return everything that came out of the loudspeaker, at 48 kHz."""
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    async def close(self) -> None:
        """Close the tab."""
        await self.connection.close()
        for task in self._listening:
            task.cancel()


@asynccontextmanager
async def browser_calls(gateway: Gateway, **settings: Any) -> AsyncIterator[WebRtcCalls]:
    """Run the browser leg of a gateway, with one worker, or all of them, ready."""
    loop = asyncio.get_running_loop()
    settings = {"workers": 1, "addresses": ["127.0.0.1"], **settings}
    calls = WebRtcCalls(
        place=lambda info, leg, options=None: gateway.switchboard.place(info, leg, loop.time(), options),
        **settings,
    )
    await calls.start()
    try:
        await until(lambda: all(process.ready for process in calls.processes), 20)
        yield calls
    finally:
        await calls.close()


async def until(condition: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Wait for a condition that something on this loop makes true."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():
        assert loop.time() < deadline, f"still not so after {timeout_s:g} s"
        await asyncio.sleep(0.01)


def tone(hz: float, seconds: float, rate: int = RATE) -> NDArray[np.int16]:
    """Return a sine at a quarter of full scale."""
    return (8000 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)).astype(np.int16)


def loudest_hz(pcm: NDArray[np.int16], rate: int) -> float:
    """Return the frequency with the highest level."""
    spectrum = np.abs(np.fft.rfft(pcm.astype(np.float64) * np.hanning(pcm.size)))
    return float(np.argmax(spectrum) * rate / pcm.size)


class Cable:
    """The browser's network. What is put into `drop` decides, packet by packet, what does not get out.

    To be laid when the browser is connected.
    """

    def __init__(self, browser: Browser) -> None:
        self.drop: Callable[[bytes], bool] = lambda data: False
        transport = browser.connection.getSenders()[0].transport.transport
        protocol = next(iter(transport._connection._nominated.values())).protocol
        send = protocol.transport.sendto
        receive = protocol.datagram_received

        def sendto(data: bytes, address: Any = None) -> None:
            if not self.drop(data):
                send(data, address)

        def datagram_received(data: bytes, address: Any) -> None:
            if not self.drop(b""):
                receive(data, address)

        vars(protocol)["transport"] = _Transport(protocol.transport, sendto)
        vars(protocol)["datagram_received"] = datagram_received

    def pull(self) -> None:
        """Let nothing through any more, in either direction."""
        self.drop = lambda data: True

    def plug(self) -> None:
        """Let everything through again."""
        self.drop = lambda data: False


class _Transport:
    def __init__(self, transport: Any, sendto: Callable[..., None]) -> None:
        self._transport = transport
        self.sendto = sendto

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def is_rtp(data: bytes) -> bool:
    """Return whether a datagram is (encrypted) audio."""
    return len(data) > 1 and 127 < data[0] < 192 and not 192 <= data[1] <= 223
