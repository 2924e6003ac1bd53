"""Many telephones for tests: sipp (https://github.com/SIPp/sipp), which plays the scenarios under tests/sip.

Their voice is a recording of a caller, which sipp streams over RTP for as long as a call lasts.
"""

from __future__ import annotations

import asyncio
import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from piopiy_pipeline.audio.g711 import ulaw_encode
from piopiy_pipeline.audio.wav import read_wav

__all__ = ["SCENARIOS", "SippResult", "sipp"]

TESTS = Path(__file__).parents[1]
SCENARIOS = TESTS / "sip" / "scenarios"
_VOICE = TESTS / "audio" / "booking" / "01-people.wav"


@dataclass(frozen=True, slots=True)
class SippResult:
    """What sipp counted."""

    successful: int
    failed: int
    retransmissions: int
    most_at_once: int
    errors: str
    """Its log of errors, empty when there were none."""


async def sipp(
    scenario: str,
    port: int,
    *,
    folder: Path,
    service: str = "5551234",
    calls: int = 1,
    per_second: float = 10.0,
    at_once: int = 100,
    call_ms: int = 1000,
    limit_s: float = 60.0,
    first_port: int = 30_000,
) -> SippResult:
    """Play `scenario` (a file's name without its end) against the gateway at `port` of loopback.

    `folder` is an empty one: sipp writes there what it counts.
    """
    (folder / "caller.ul").write_bytes(ulaw_encode(read_wav(_VOICE, 8000).astype(np.int16)).tobytes())
    process = await asyncio.create_subprocess_exec(
        "sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", service,
        "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", str(first_port),
        "-m", str(calls), "-r", f"{per_second:g}", "-l", str(at_once), "-d", str(call_ms),
        "-nostdin", "-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log",
        "-timeout", f"{limit_s:g}", "-recv_timeout", "20000",
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(limit_s + 10):
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    rows = list(csv.DictReader((folder / "stat.csv").read_text().splitlines(), delimiter=";"))
    last = rows[-1]
    log = folder / "errors.log"
    return SippResult(
        successful=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
        retransmissions=int(last["Retransmissions(C)"]),
        most_at_once=max(int(row["CurrentCall"]) for row in rows),
        errors=log.read_text(errors="replace") if log.exists() else "",
    )
