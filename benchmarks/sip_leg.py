"""What telephone calls cost the gateway: CPU and memory a call, gaps in what callers hear, and delay.

    python -m benchmarks.sip_leg              40 calls: 12 s of warm-up, 15 s measured
    python -m benchmarks.sip_leg --calls 100
    python -m benchmarks.sip_leg --json       one JSON object as the last line

The gateway runs in a process of its own, whose CPU clock is read; an agent that echoes, with no AI in
it, in another; the callers in this one. They call over SIP, speak G.711 over RTP, and hear themselves.

The delay is that of a click from the moment at which the caller sends it to the moment at which it is back:
through the jitter buffer, to the agent, through the playout. That the agent's process has its part
in it makes it longer than the gateway's own. The kernel says when packets came, so that this process does
not measure itself; how unevenly it sends is reported beside it, because the jitter buffer waits for that.
What a stall piles up at the playout the agent leaves out within a second or two, as a bot does that pauses.
A gap is what a caller hears as one: more than 20 ms between two packets beyond their usual distance.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import time
from contextlib import AsyncExitStack
from struct import Struct
from typing import Any

import numpy as np

from benchmarks.echo_gateway import cpu_s, echo_gateway, memory_mb
from piopiy_pipeline.audio.frame import FRAME_S
from piopiy_pipeline.gateway.rtp.packet import build_rtp, parse_rtp
from piopiy_pipeline.gateway.rtp.ports import MediaSockets, PortPool
from piopiy_pipeline.gateway.sip.config import SipConfig
from piopiy_pipeline.gateway.sip.dialog.call_listener import Ending
from piopiy_pipeline.gateway.sip.dialog.incoming_call import IncomingCall
from piopiy_pipeline.gateway.sip.dialog.sip_call import SipCall
from piopiy_pipeline.gateway.sip.sdp.negotiation import AgreedMedia, Negotiation, SessionDescription
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint

CLICK_EVERY = 50
LOUD = 4000
CALL_RATE_S = 0.05
_TIMESPEC = Struct("@ll")


class Caller:
    """One telephone: it is the `CallListener` of its call, and sends and receives its audio."""

    def __init__(self, sockets: MediaSockets, frames: list[bytes], click: bytes) -> None:
        self.answered = asyncio.get_running_loop().create_future()
        self.ended: str | None = None
        self.delays_s: list[float] = []
        self.gaps_s: list[float] = []
        self.late_s: list[float] = []
        self.received = 0
        self.negotiation = Negotiation(
            host="127.0.0.1", port=sockets.port, codecs=["PCMU"], session_id=1, rtcp_mux=False
        )
        self._sockets = sockets
        self._frames, self._click = frames, click
        self._to: tuple[str, int] | None = None
        self._sent = 0
        self._ssrc = secrets.randbits(32)
        self._clicked_at: float | None = None
        self._last_at: float | None = None
        self._measure = False
        self._due_at = 0.0

    # ------------------------------------------------------------------ signalling's side

    def call_answered(self, description: SessionDescription | None, now: float) -> None:
        assert description is not None
        media: AgreedMedia = self.negotiation.accept(description)
        self._to = (media.host, media.port)
        if not self.answered.done():
            self.answered.set_result(None)

    def call_ended(self, ending: Ending, code: int, phrase: str, now: float) -> None:
        self.ended = f"{ending} {code} {phrase}"
        if not self.answered.done():
            self.answered.set_exception(RuntimeError(f"the call was not answered: {self.ended}"))

    def call_ringing(self, now: float) -> None: ...

    def call_early_media(self, description: SessionDescription, now: float) -> None: ...

    def call_reoffered(self, offer: SessionDescription | None, now: float) -> None: ...

    def call_reanswered(self, description: SessionDescription, now: float) -> None: ...

    def call_dtmf(self, digits: str, now: float) -> None: ...

    def call_transfer_progress(self, code: int, phrase: str, now: float) -> None: ...

    # ------------------------------------------------------------------ the voice

    def begin(self) -> None:
        """Measure what happens from now on."""
        self._measure, self._last_at = True, None

    def send_frame(self) -> None:
        """Send 20 ms of audio, and receive what has come."""
        if self._to is None:
            return
        click = self._sent % CLICK_EVERY == CLICK_EVERY - 1
        payload = self._click if click else self._frames[self._sent % len(self._frames)]
        packet = build_rtp(0, self._sent & 0xFFFF, self._sent * 160, self._ssrc, payload)
        self._sent += 1
        now = time.time()
        if self._measure:
            self.late_s.append(now - self._due_at)
        self._due_at = max(self._due_at + FRAME_S, now - 1.0) if self._measure else now + FRAME_S
        if click:
            self._clicked_at = now
        try:
            self._sockets.rtp.sendto(packet, self._to)
        except OSError:
            return
        while True:
            try:
                data, ancillary, _, _ = self._sockets.rtp.recvmsg(2048, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2][: _TIMESPEC.size])
            self._hear(data, seconds + nanoseconds * 1e-9)

    def _hear(self, data: bytes, at: float) -> None:
        self.received += 1
        if self._measure and self._last_at is not None:
            self.gaps_s.append(at - self._last_at - FRAME_S)
        self._last_at = at
        if self._clicked_at is None:
            return
        magnitude = ~np.frombuffer(parse_rtp(data).payload, np.uint8) & 0x7F
        loud = np.flatnonzero(magnitude > 0x60)
        if loud.size:
            if self._measure:
                self.delays_s.append(at + int(loud[0]) / 8000 - self._clicked_at)
            self._clicked_at = None

    def close(self) -> None:
        self._sockets.close()


class Nobody:
    """The listener of the callers' user agent, which nobody calls."""

    def incoming_call(self, call: IncomingCall, now: float) -> None:
        call.reject(486, "Busy Here", now)


async def measure(calls: int, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Return the numbers of one run."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        echo = await echo_gateway(stack, calls=calls + 10)
        idle_mb = memory_mb(echo.gateway)
        ends = await SipEndpoint.open(SipConfig(port=0, transports=["udp"], codecs=["PCMU"]), Nobody())
        stack.push_async_callback(ends.close)
        ports = PortPool("127.0.0.1", 40_000, 59_999)
        noise = np.random.default_rng(0)
        frames = [bytes(noise.integers(0x6E, 0x7F, 160, dtype=np.uint8)) for _ in range(50)]
        click = bytes([0x80]) * 8 + frames[0][8:]
        callers: list[Caller] = []
        sips: list[SipCall] = []
        sending = asyncio.create_task(_send_frames(callers))
        stack.callback(sending.cancel)
        for _ in range(calls):
            caller = Caller(ports.open(), frames, click)
            stack.callback(caller.close)
            sips.append(ends.invite(f"sip:bot@127.0.0.1:{echo.sip_port}", caller.negotiation.offer(), caller))
            callers.append(caller)
            await asyncio.wait_for(caller.answered, 20)
            await asyncio.sleep(CALL_RATE_S)
        await asyncio.sleep(warm_up_s)
        for caller in callers:
            caller.begin()
        before = (cpu_s(echo.gateway), cpu_s(echo.agent), loop.time())
        await asyncio.sleep(seconds)
        after = (cpu_s(echo.gateway), cpu_s(echo.agent), loop.time())
        took = after[2] - before[2]
        full_mb = memory_mb(echo.gateway)
        for sip in sips:
            sip.hangup(loop.time())
        await asyncio.sleep(0.5)
    delays = [delay for caller in callers for delay in caller.delays_s]
    late = [one for caller in callers for one in caller.late_s]
    gaps = [gap for caller in callers for gap in caller.gaps_s]
    return {
        "calls": calls,
        "failed": sum(caller.ended is not None and "hung_up" not in caller.ended for caller in callers),
        "cpu_percent_per_call": 100 * (after[0] - before[0]) / took / calls,
        "agent_cpu_percent_per_call": 100 * (after[1] - before[1]) / took / calls,
        "memory_mb_per_call": (full_mb - idle_mb) / calls,
        "memory_mb": full_mb,
        "worst_gap_ms": 1000 * max(gaps),
        "gaps_over_20_ms": sum(gap > FRAME_S for gap in gaps),
        "packets": len(gaps),
        "delay_ms_median": 1000 * statistics.median(delays),
        "delay_ms_p95": 1000 * float(np.percentile(delays, 95)),
        "delay_ms_worst": 1000 * max(delays),
        "clicks": len(delays),
        "callers_late_ms_p98": 1000 * (float(np.percentile(late, 98)) - min(late)),
    }


async def _send_frames(callers: list[Caller]) -> None:
    """Make each caller send a frame every 20 ms, each at a moment of its own."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    slots = 10
    tick = 0
    while True:
        tick += 1
        await asyncio.sleep(max(0.0, start + tick * FRAME_S / slots - loop.time()))
        for caller in callers[tick % slots :: slots]:
            caller.send_frame()


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--warm-up", type=float, default=12.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = asyncio.run(measure(options.calls, options.seconds, options.warm_up))
    print(
        f"{found['calls']} calls, {found['failed']} failed\n"
        f"  CPU a call        {found['cpu_percent_per_call']:.2f}% of a core"
        f" (the echoing agent {found['agent_cpu_percent_per_call']:.2f}%)\n"
        f"  memory a call     {found['memory_mb_per_call']:.2f} MB, {found['memory_mb']:.0f} MB in all\n"
        f"  worst gap         {found['worst_gap_ms']:.1f} ms;"
        f" {found['gaps_over_20_ms']} of {found['packets']} over 20 ms\n"
        f"  there and back    {found['delay_ms_median']:.1f} ms (p95 {found['delay_ms_p95']:.1f},"
        f" worst {found['delay_ms_worst']:.1f}; {found['clicks']} clicks);"
        f" the callers themselves are late by {found['callers_late_ms_p98']:.1f} ms (p98)"
    )
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
