"""What one caller of `piopiy load` costs the load generator: CPU and memory, for each kind of caller.

    python -m benchmarks.load_cost                        1 and 41 callers of each kind for 30 s each
    python -m benchmarks.load_cost --calls 81 --seconds 60

The gateway and an agent that echoes are processes of their own. CPU is that of the load's own process for a second of
a call, while callers speak for most of the time; memory is its largest with all callers less that with one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.child_process import ROOT
from benchmarks.echo_gateway import start_process, wait_until_listening
from tests.support.gateway_process import free_port

RECORDING = ROOT / "tests" / "audio" / "booking_at_once" / "01-everything.wav"
KINDS = ("stream", "sip", "webrtc")


async def measure(kind: str, calls: int, seconds: float) -> dict[str, Any]:
    """Return the JSON of one run. Raises `RuntimeError` if a call failed."""
    token, port, sip_port = secrets.token_hex(8), free_port(), free_port()
    async with AsyncExitStack() as stack:
        settings = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gateway.toml"
        settings.write_text(
            f'port = {port}\nrecords = false\nmax_calls = 1000\noffer_ms = 5000\ncaller_keys = ["{token}"]\n'
            f'api_keys = ["{token}"]\nwebrtc_workers = {2 if kind == "webrtc" else 0}\n'
            f'webrtc_addresses = ["127.0.0.1"]\n[agents]\necho = "{token}"\n'
            f'[sip]\nport = {sip_port}\ncallers = "anyone"\ndefault_agent = "echo"\nmax_calls_per_source = 1000\n'
        )
        gateway = await start_process(stack, "piopiy_pipeline.cli", "gateway", "--config", str(settings))
        await wait_until_listening(port, gateway)
        options = ["--url", f"ws://127.0.0.1:{port}", "--token", token, "--capacity", "1000"]
        await start_process(stack, "benchmarks.echo_agent", *options)
        await asyncio.sleep(3.0)
        says = ["--wav", str(RECORDING)] * 20
        load = await asyncio.create_subprocess_exec(
            *(
                sys.executable,
                "-m",
                "piopiy_pipeline.cli",
                "load",
                f"ws://127.0.0.1:{port}",
                "--agent",
                "echo",
            ),
            *(
                "--calls",
                str(calls),
                "--per-second",
                "20",
                "--timeout",
                str(seconds),
                "--kinds",
                kind,
                "--json",
            ),
            *("--sip", f"sip:echo@127.0.0.1:{sip_port}", "--interrupt", "0", *says),
            env={**os.environ, "PIOPIY_CALLER_KEY": token, "PIOPIY_API_KEY": token},
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await load.communicate()
    found: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    if found["answered"] < calls:
        raise RuntimeError(f"{kind}, {calls} calls: {found['failures']}")
    return found


async def cost(kind: str, calls: int, seconds: float) -> str:
    """Return a line about callers of a kind."""
    one, many = [(await measure(kind, number, seconds))["load_generator"] for number in (1, calls)]
    core = 100 * (many["core"] - one["core"]) / (calls - 1)
    memory = (many["peak_mb"] - one["peak_mb"]) / (calls - 1)
    return (
        f"{kind:<8} {core:.2f}% of a core and {memory:.2f} MB a caller; {calls} callers {many['core']:.2f} of a core,"
        f" {many['peak_mb']} MB, frames late by p99 {many['late_ms']['p99']} ms"
    )


def main() -> None:
    """Measure, and print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=41)
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args()
    for kind in KINDS:
        print(asyncio.run(cost(kind, chosen.calls, chosen.seconds)), flush=True)


if __name__ == "__main__":
    main()
