"""How soon is the bot silent at the caller's ear, over real sockets? Part of `barge_in`, which says how to run it.

The gateway and the agent run in processes of their own, the caller in this one, or in a browser (`barge_in_browser`).
One sound is made in each call, over a bot that speaks without a pause; the kinds of lines take turns, so that whatever
else the machine does concerns all of them. The time is from the first sample of the sound, as it is spoken (a
telephone takes 20 ms before it sends a packet), to the last loud sample of the bot, as its packet arrives. The
telephone's own jitter buffer is not in it; a browser's is.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Literal

import numpy as np
import soxr
from numpy.typing import NDArray
from websockets.asyncio.client import connect

from benchmarks.barge_in_sounds import RATE, Sound
from benchmarks.child_process import Program
from benchmarks.echo_gateway import start_process, wait_until_listening
from benchmarks.sip_leg import Nobody
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.audio.g711 import ulaw_decode, ulaw_encode
from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import MediaSockets, PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.sdp.negotiation import Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from piopiy_pipeline.signaling.caller import Answered, CallStart, LegEnded, parse_leg_event
from piopiy_pipeline.signaling.json_messages import dump
from piopiy_pipeline.signaling.websocket import DirectClientConnection

__all__ = ["LEGS", "Leg", "silences"]

Leg = Literal["stream", "phone", "browser"]
LEGS: Sequence[Leg] = ("stream", "phone", "browser")
NAMES: dict[Leg, str] = {"stream": "WebSocket", "phone": "telephone", "browser": "browser"}
AGENT_ID = "bot"
LOUD = 300
QUIET_S = 0.1
"""So much silence is one: longer than any gap of the network here."""
BEFORE_S, LIMIT_S = 0.8, 2.5
_TIMESPEC = Struct("@ll")


class LineCaller(ABC):
    """The caller of one call. Times are those of the clock on the wall, in seconds."""

    rate: int

    def __init__(self, number: int) -> None:
        self.last_loud_at = 0.0
        """When the last loud sample of the bot arrived."""
        self.first_loud_at: float | None = None
        self._seed = np.random.default_rng(number)

    @abstractmethod
    def send(self, frame: NDArray[np.int16]) -> None:
        """Send 20 ms, and take what has arrived."""

    def hear(self, samples: NDArray[np.int16], at: float) -> None:
        """Take 20 ms that arrived at this time."""
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
        if loud.size:
            self.last_loud_at = at + (int(loud[-1]) + 1) / self.rate
            self.first_loud_at = self.first_loud_at or at

    async def interrupt(self, sound: NDArray[np.int16]) -> float | None:
        """Make a sound over the bot's speech.

        Returns:
            The seconds from its first sample to silence, or None if the bot spoke on.
        """
        loop, size = asyncio.get_running_loop(), int(self.rate * FRAME_S)
        noise = self._seed.normal(0, 4, size).astype(np.int16)
        # Speech begins neither with a packet nor at one place among the VAD's windows, and packets come at any moment
        # between two frame ticks of the gateway, whose clock was started by this call.
        offset = int(self._seed.integers(size))
        before_s = BEFORE_S + int(self._seed.integers(8)) * FRAME_S
        speech = np.concatenate([np.zeros(offset, np.int16), sound])
        await asyncio.sleep(self._seed.random() * FRAME_S)
        start, tick, begun, began_at = loop.time(), 0, 0, None
        while loop.time() - start < before_s + LIMIT_S + sound.size / self.rate:
            ready = self.first_loud_at is not None and time.time() - self.first_loud_at > before_s
            frame = noise
            if ready and begun < speech.size:
                piece = speech[begun : begun + size]
                frame = noise.copy()
                frame[: piece.size] = np.clip(frame[: piece.size] + piece.astype(np.int32), -32768, 32767)
                if began_at is None:
                    began_at = time.time() - FRAME_S + offset / self.rate
                begun += size
            self.send(frame)
            if began_at is not None and time.time() - max(self.last_loud_at, began_at) > QUIET_S:
                return self.last_loud_at - began_at
            tick += 1
            await asyncio.sleep(max(0.0, start + tick * FRAME_S - loop.time()))
        return None


class StreamCaller(LineCaller):
    """A caller over the gateway's own WebSocket, as `piopiy call` is."""

    rate = 16000

    def __init__(self, connection: DirectClientConnection, number: int) -> None:
        super().__init__(number)
        self._connection = connection
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        connection.listen(
            on_text=self._event,
            on_binary=lambda pcm: self.hear(np.frombuffer(pcm, "<i2"), time.time()),
            on_close=lambda: self._over("the connection was closed"),
        )
        connection.post_text(dump(CallStart(rate=16000, watch=False)))

    def send(self, frame: NDArray[np.int16]) -> None:
        self._connection.post_binary(frame.astype("<i2").tobytes())

    def _event(self, text: bytes) -> None:
        match parse_leg_event(text):
            case Answered() if not self.answered.done():
                self.answered.set_result(None)
            case LegEnded(reason=reason):
                self._over(reason.value)

    def _over(self, why: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionError(f"the call was not answered: {why}"))


class PhoneCaller(LineCaller):
    """A telephone over SIP and RTP, and the `CallListener` of its call."""

    rate = 8000

    def __init__(self, sockets: MediaSockets, number: int) -> None:
        super().__init__(number)
        self.answered = asyncio.get_running_loop().create_future()
        self.negotiation = Negotiation(
            host="127.0.0.1", port=sockets.port, codecs=["PCMU"], session_id=1, rtcp_mux=False
        )
        self._sockets = sockets
        self._to: tuple[str, int] | None = None
        self._sent = 0
        self._ssrc = secrets.randbits(32)

    def send(self, frame: NDArray[np.int16]) -> None:
        if self._to is not None:
            payload = ulaw_encode(frame).tobytes()
            packet = build_rtp(0, self._sent & 0xFFFF, self._sent * 160, self._ssrc, payload)
            self._sockets.rtp.sendto(packet, self._to)
            self._sent += 1
        while True:
            try:
                data, ancillary, _, _ = self._sockets.rtp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][: _TIMESPEC.size])
            self.hear(
                ulaw_decode(np.frombuffer(parse_rtp(data).payload, np.uint8)), seconds + nanoseconds * 1e-9
            )

    # ------------------------------------------------------------------ CallListener

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        assert description is not None
        media = self.negotiation.accept(description)
        self._to = (media.host, media.port)
        if not self.answered.done():
            self.answered.set_result(None)

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        if not self.answered.done():
            self.answered.set_exception(RuntimeError(f"the call was not answered: {code} {phrase}"))

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> None: ...

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...


async def silences(sounds: Sequence[Sound], interruption: str, legs: Sequence[Leg]) -> dict[str, Any]:
    """Return how soon the bot is silent over each kind of leg, for each sound in a call of its own.

    Args:
        sounds: What the caller says.
        interruption: What the bot's author has chosen: ``"held"`` or ``"immediate"``.
        legs: The kinds.
    """
    async with AsyncExitStack() as stack:
        workers = int("browser" in legs)
        port, sip_port, token, key = _free(), _free(), secrets.token_hex(8), secrets.token_hex(8)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = folder / "gateway.toml"
        settings.write_text(
            f"port = {port}\nwebrtc_workers = {workers}\nrecords = false\noffer_ms = 5000\n"
            f'console = "open"\ncaller_keys = ["{key}"]\n[agents]\n{AGENT_ID} = "{token}"\n'
            f'[sip]\nport = {sip_port}\ncallers = "anyone"\ndefault_agent = "{AGENT_ID}"\ncodecs = ["PCMU"]\n'
        )
        gateway = await start_process(stack, "piopiy_pipeline.cli", "gateway", "--config", str(settings))
        await wait_until_listening(port, gateway)
        options = {
            "url": f"ws://127.0.0.1:{port}",
            "agent": AGENT_ID,
            "token": token,
            "interruption": interruption,
        }
        command = [part for name, value in options.items() for part in (f"--{name}", value)]
        agent = await start_process(stack, "benchmarks.barge_in_agent", *command)
        url = f"ws://127.0.0.1:{port}/call/{AGENT_ID}"
        await _until_answered(url, key, agent)
        ends = await SipEndpoint.open(SipConfig(port=0, transports=["udp"], codecs=["PCMU"]), Nobody())
        stack.push_async_callback(ends.close)
        ports = PortPool("127.0.0.1", 40_000, 59_999)
        silent: dict[Leg, list[float | None]] = {leg: [] for leg in legs}
        buffered: list[float] = []
        for number, sound in enumerate(sounds):
            for leg in legs:
                match leg:
                    case "stream":
                        silent[leg].append(await _over_stream(sound, number, url, key))
                    case "phone":
                        silent[leg].append(await _over_phone(sound, number, ends, ports, sip_port))
                    case "browser":
                        from benchmarks.barge_in_browser import in_page  # only here Chromium is needed

                        page = await in_page(sound, f"http://127.0.0.1:{port}/", folder)
                        silent[leg].append(page.silent_s)
                        buffered.append(page.buffered_s)
    found = {NAMES[leg]: _summary(times) for leg, times in silent.items()}
    if buffered:
        found[NAMES["browser"]]["jitter_buffer_ms_median"] = 1000 * float(np.median(buffered))
    return found


async def _until_answered(url: str, key: str, agent: Program) -> None:
    async with asyncio.timeout(60):
        while not agent.has_ended:
            try:
                async with _dialled(url, key) as caller:
                    await caller.answered
                    return
            except ConnectionError:
                await asyncio.sleep(0.5)
    raise agent.failed("the agent did not start")


@asynccontextmanager
async def _dialled(url: str, key: str, number: int = 0) -> AsyncIterator[StreamCaller]:
    connection = await connect(
        url,
        create_connection=DirectClientConnection,
        additional_headers={"Authorization": f"Bearer {key}"},
        compression=None,
        proxy=None,
    )
    assert isinstance(connection, DirectClientConnection)
    try:
        yield StreamCaller(connection, number)
    finally:
        await connection.close()


async def _over_stream(sound: Sound, number: int, url: str, key: str) -> float | None:
    async with _dialled(url, key, number) as caller:
        await caller.answered
        return await caller.interrupt(_at(sound, caller.rate))


async def _over_phone(
    sound: Sound, number: int, ends: SipEndpoint, ports: PortPool, sip_port: int
) -> float | None:
    sockets = ports.open()
    try:
        caller = PhoneCaller(sockets, number)
        call = ends.invite(f"sip:bot@127.0.0.1:{sip_port}", caller.negotiation.offer(), caller)
        await asyncio.wait_for(caller.answered, 20)
        silent = await caller.interrupt(_at(sound, caller.rate))
        call.hangup(asyncio.get_running_loop().time())
        await asyncio.sleep(0.1)
        return silent
    finally:
        sockets.close()


def _at(sound: Sound, rate: int) -> NDArray[np.int16]:
    return sound.pcm if rate == RATE else np.asarray(soxr.resample(sound.pcm, RATE, rate), np.int16)


def _summary(silent: Sequence[float | None]) -> dict[str, Any]:
    times = [1000 * one for one in silent if one is not None]
    return {
        "measured": len(times),
        "never": len(silent) - len(times),
        "ms_median": float(np.median(times)),
        "ms_mean": float(np.mean(times)),
        "ms_p95": float(np.percentile(times, 95)),
    }


def _free() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
