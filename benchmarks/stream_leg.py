"""What calls over a WebSocket cost the gateway: CPU and memory a call, and gaps in what callers hear.

    python -m benchmarks.stream_leg              40 calls: 5 s of warm-up, 15 s measured
    python -m benchmarks.stream_leg --calls 100 --json     one JSON object as the last line

As in `sip_leg`: the gateway runs in a process of its own, whose CPU clock is read; an agent that echoes, with no AI in
it, in another; the callers in this one. They speak PCM of 16 bits, 20 ms a message, all the time, and hear themselves.
A gap is where a telephone with a buffer of 60 ms has nothing to play; how late this process itself was is beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import time
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.density_callers import GAP_S, call_gateway
from benchmarks.density_recording import caller_frames
from benchmarks.echo_gateway import cpu_s, echo_gateway, memory_mb
from benchmarks.loop_lag import LoopLag

CALL_RATE_S = 0.05


async def measure(calls: int, rate: int, seconds: float, warm_up_s: float) -> dict[str, Any]:
    """Return the numbers of one run."""
    async with AsyncExitStack() as stack:
        echo = await echo_gateway(stack, calls=calls + 10)
        idle_mb = memory_mb(echo.gateway)
        frames = caller_frames(rate)
        lines = []
        for number in range(calls):
            begin = 37 * number % len(frames)  # not all speak at once
            lines.append(
                await call_gateway(echo.url, echo.key, rate, frames[begin:] + frames[:begin], agent="echo")
            )
            await asyncio.sleep(CALL_RATE_S)
        await asyncio.sleep(warm_up_s)
        lag = LoopLag()
        heard = [line.heard_bytes for line, _ in lines]
        cpu, agents_cpu, since = cpu_s(echo.gateway), cpu_s(echo.agent), time.monotonic()
        await asyncio.sleep(seconds)
        took_s = time.monotonic() - since
        percent = 100 * (cpu_s(echo.gateway) - cpu) / took_s / calls
        agents_percent = 100 * (cpu_s(echo.agent) - agents_cpu) / took_s / calls
        full_mb = memory_mb(echo.gateway)
        gaps_s = [gap for line, _ in lines for gap in line.playout.gaps_s(since)]
        least = min(
            (line.heard_bytes - before) / (2 * rate) for (line, _), before in zip(lines, heard, strict=True)
        )
        for _, hang_up in lines:
            hang_up()
        await asyncio.sleep(0.5)
    return {
        "calls": calls,
        "rate": rate,
        "cpu_percent_per_call": round(percent, 3),
        "agent_cpu_percent_per_call": round(agents_percent, 3),
        "memory_mb_per_call": round((full_mb - idle_mb) / calls, 3),
        "memory_mb": round(full_mb, 1),
        "worst_gap_ms": round(1e3 * max(gaps_s, default=0.0), 1),
        "gaps": sum(gap >= GAP_S for gap in gaps_s),
        "least_heard": round(least / took_s, 3),
        "callers_lag_p99_ms": lag.quantile_ms(0.99),
    }


def main() -> None:
    """Measure, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--rate", type=int, choices=[8000, 16000], default=8000)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--warm-up", type=float, default=5.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    run: Any = asyncio.run
    if importlib.util.find_spec("uvloop"):
        import uvloop

        run = uvloop.run
    found = run(measure(options.calls, options.rate, options.seconds, options.warm_up))
    print(
        f"{found['calls']} calls at {found['rate']} Hz\n"
        f"  CPU a call        {found['cpu_percent_per_call']:.2f}% of a core"
        f" (the echoing agent {found['agent_cpu_percent_per_call']:.2f}%)\n"
        f"  memory a call     {found['memory_mb_per_call']:.2f} MB, {found['memory_mb']:.0f} MB in all\n"
        f"  worst gap         {found['worst_gap_ms']:.1f} ms, {found['gaps']} of 20 ms and more; who heard least heard"
        f" {found['least_heard']:.1%}; the callers themselves are late by {found['callers_lag_p99_ms']:.1f} ms (p99)"
    )
    if options.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
