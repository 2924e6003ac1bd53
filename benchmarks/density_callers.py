"""The other process of `density`: the callers, and for our agent the gateway that they call.

Callers play the same recording round and round, in frames of 20 ms, until stdin ends. Says as JSON
lines on stdout where the gateway is, and at the end what came back and where it had gaps in the last
seconds. How late this process itself was stands beside them: a gap that is not longer may be its own.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.caller_line import PlainLine, as_protobuf, audio_of_protobuf, dial
from benchmarks.density_recording import caller_frames, stagger_s
from benchmarks.loop_lag import LoopLag
from piopiy_pipeline.signaling.caller import Answered, CallStart, Leave, parse_leg_event
from piopiy_pipeline.signaling.messages import dump
from piopiy_pipeline.signaling.websocket import DirectClientConnection
from piopiy_pipeline.testing.line.heard_playout import HeardPlayout

GAP_S = 0.020
"""Shorter gaps are not counted: nobody hears them."""


class Line(PlainLine):
    """The line of one caller, on which it is noted where what comes back has gaps.

    Args:
        socket: The connection.
        frames: Messages of 20 ms each.
        rate: The sample rate of what comes back, in Hz.
        decode: Returns the PCM of a message that comes back.
    """

    def __init__(
        self,
        socket: DirectClientConnection,
        frames: Sequence[bytes],
        rate: int,
        decode: Callable[[bytes], bytes] = bytes,
    ) -> None:
        super().__init__(socket, frames, decode)
        self.playout = HeardPlayout(rate)

    def on_binary(self, data: bytes) -> None:
        before = self.heard_bytes
        super().on_binary(data)
        self.playout.audio((self.heard_bytes - before) // 2, time.monotonic())


async def call_gateway(
    url: str, key: str, rate: int, frames: Sequence[bytes], agent: str = "benchmark"
) -> tuple[Line, Callable[[], None]]:
    """Call over the gateway's stream leg. Returns the line, and a function that hangs up."""
    socket = await dial(f"{url}/call/{agent}", key)
    line = Line(socket, frames, rate)

    def on_text(text: bytes) -> None:
        if isinstance(parse_leg_event(text), Answered):
            line.begin()

    socket.listen(on_text=on_text, on_binary=line.on_binary, on_close=line.end)
    socket.post_text(dump(CallStart.model_validate({"rate": rate, "watch": False})))

    def hang_up() -> None:
        line.end()
        socket.post_text(dump(Leave()))

    return line, hang_up


async def call_pipecat(port: int, rate: int, frames: Sequence[bytes]) -> tuple[Line, Callable[[], None]]:
    """Call pipecat's WebSocket server transport, in its protobuf. Returns the line, and a function that hangs
    up.
    """
    socket = await dial(f"ws://127.0.0.1:{port}")
    line = Line(socket, frames, rate, audio_of_protobuf)
    socket.listen(on_binary=line.on_binary, on_close=line.end)
    line.begin()

    def hang_up() -> None:
        line.end()
        socket.finish()

    return line, hang_up


async def _until_told(lines: list[tuple[Line, Callable[[], None]]], seconds: float) -> None:
    """Wait until the measurement is over, hang up, and print what was heard in its last `seconds`."""
    lag = LoopLag()
    await asyncio.to_thread(sys.stdin.read)  # ends when the other side closes it, or dies
    since = time.monotonic() - seconds
    gaps_s = [gap for line, _ in lines for gap in line.playout.gaps_s(since)]
    for _, hang_up in lines:
        hang_up()
    print(
        json.dumps(
            {
                "heard_mb": [round(line.heard_bytes / 1e6, 2) for line, _ in lines],
                "worst_gap_ms": round(max(gaps_s, default=0.0) * 1e3, 1),
                "gaps": sum(gap >= GAP_S for gap in gaps_s),
                "callers_lag_p99_ms": lag.quantile_ms(0.99),
            }
        ),
        flush=True,
    )


async def ours(options: argparse.Namespace) -> None:
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.server import Gateway

    config = GatewayConfig(
        port=0,
        agents={"benchmark": options.token},
        caller_keys=[options.token],
        callers_may_watch=True,
        records=False,
        webrtc_workers=0,
        offer_ms=5000,  # a machine that is busy with others loses no call by it
    )
    frames = caller_frames(options.rate)
    async with Gateway(config) as gateway:
        print(json.dumps({"url": gateway.url}), flush=True)
        await gateway.wait_for_agent("benchmark", 60)
        lines = []
        for _ in range(options.calls):
            lines.append(await call_gateway(gateway.url, options.token, options.rate, frames))
            await asyncio.sleep(stagger_s(options.calls))
        await _until_told(lines, options.seconds)
        await asyncio.sleep(1.0)  # the hang-ups are on their way


async def stock(options: argparse.Namespace) -> None:
    rate = min(options.rate, 16000)
    frames = as_protobuf(caller_frames(rate), rate)
    lines = []
    for port in options.ports:
        lines.append(await call_pipecat(port, rate, frames))
        await asyncio.sleep(stagger_s(options.calls))
    await _until_told(lines, options.seconds)
    await asyncio.sleep(1.0)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--side", choices=["ours", "stock"], required=True)
    arguments.add_argument("--calls", type=int, required=True)
    arguments.add_argument("--seconds", type=float, required=True)
    arguments.add_argument("--rate", type=int, required=True)
    arguments.add_argument("--token")
    arguments.add_argument("--ports", type=int, nargs="*", default=[])
    options = arguments.parse_args()
    run = asyncio.run
    if importlib.util.find_spec("uvloop"):
        import uvloop

        run = uvloop.run
    run(ours(options) if options.side == "ours" else stock(options))


if __name__ == "__main__":
    main()
