"""Places a thousand telephone calls with audio, by sipp, through a gateway to an agent that echoes.

    python -m benchmarks.sip_load                         1,000 calls, 10 a second, of 5 s each
    python -m benchmarks.sip_load --calls 200 --rate 20

Says how many failed, and how the gateway's memory was before and after. Ends with 1 if a call failed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.echo_gateway import cpu_s, echo_gateway, memory_mb
from tests.support.sipp import sipp


async def load(calls: int, per_second: float, call_s: float) -> bool:
    """Place the calls, and print what came of them. Returns whether all calls went well."""
    at_once = int(per_second * call_s * 2) + 20
    async with AsyncExitStack() as stack:
        echo = await echo_gateway(stack, calls=at_once)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        before_mb, before_s = memory_mb(echo.gateway), cpu_s(echo.gateway)
        found = await sipp(
            "uac_media",
            echo.sip_port,
            folder=folder,
            calls=calls,
            per_second=per_second,
            at_once=at_once,
            call_ms=int(call_s * 1000),
            limit_s=calls / per_second + call_s + 60,
        )
        after_mb, after_s = memory_mb(echo.gateway), cpu_s(echo.gateway)
    print(
        f"{found.successful} calls went well, {found.failed} failed, {found.retransmissions} retransmissions,"
        f" at most {found.most_at_once} at once\n"
        f"gateway: {before_mb:.0f} MB before, {after_mb:.0f} MB after;"
        f" {100 * (after_s - before_s) / (calls * call_s):.2f}% of a core a call"
    )
    print(found.errors, file=sys.stderr)
    return found.failed == 0 and found.successful == calls


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=10.0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="the length of a call")
    options = parser.parse_args()
    sys.exit(0 if asyncio.run(load(options.calls, options.rate, options.seconds)) else 1)


if __name__ == "__main__":
    main()
