"""Many telephones for tests: sipp (https://github.com/SIPp/sipp), which plays the scenarios under tests/sip.

Debian has it in `sip-tester`. What tells how a run went is `SippResult`, and `SippResult.check` is what a
test asks that wants every call to have gone as its scenario says.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import os
import random
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from piopiy_pipeline.audio.g711 import ulaw_encode
from piopiy_pipeline.audio.wav import read_wav

__all__ = ["SCENARIOS", "SippResult", "needs_sipp", "sipp"]

TESTS = Path(__file__).parents[1]
SCENARIOS = TESTS / "sip" / "scenarios"
_VOICE = TESTS / "audio" / "booking" / "01-people.wav"
_MEDIA_PORTS = range(20_000, 32_000)
"""Below those that the system gives away; by chance, because tests that run at once look at once."""
_AFTER_S = 10.0
"""So long after its own limit sipp is killed."""
_ENTRY = re.compile(r"^\d{4}-\d\d-\d\d\t[\d:.]+\t[\d.]+: ", re.MULTILINE)
"""How an entry of its log of errors begins: date, time, seconds."""
_LATE = re.compile(r"Dead call \S+ \(successful\), received 'SIP/2\.0 2\d\d ")
"""A success that is repeated, to a request that was: the call had ended well when it came."""

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed (sip-tester)")


@dataclass(frozen=True, slots=True)
class SippResult:
    """What sipp counted."""

    scenario: str
    status: int
    """What its process returned: 0 if all calls went as the scenario says."""
    successful: int
    failed: int
    retransmissions: int
    most_at_once: int
    errors: str
    """Its log of errors, empty when there were none."""

    def check(self) -> None:
        """Raise `AssertionError` with sipp's own words if anything went wrong."""
        assert (self.status, self.failed, self.errors) == (0, 0, ""), (
            f"{self.scenario}: sipp returned {self.status}, {self.failed} calls failed:\n{self.errors}"
        )


async def sipp(
    scenario: str,
    port: int | None,
    *,
    folder: Path,
    service: str = "5551234",
    transport: str = "u1",
    own_port: int | None = None,
    calls: int = 1,
    per_second: float = 10.0,
    at_once: int = 100,
    call_ms: int = 1000,
    limit_s: float = 60.0,
    quiet: bool = False,
) -> SippResult:
    """Play `scenario` (a file's name without its end) against the gateway at `port` of loopback.

    None for a scenario that is called, at `own_port`. `folder` is an empty one: sipp writes there what it
    counts. `transport` is sipp's word for it: ``u1``, ``t1``, or ``tn`` for a connection each. Callers with a voice
    send silence if they are to be `quiet`.
    """
    voice = np.zeros(8000, np.int16) if quiet else read_wav(_VOICE, 8000).astype(np.int16)
    (folder / "caller.ul").write_bytes(ulaw_encode(voice).tobytes())
    process = await asyncio.create_subprocess_exec(
        "sipp", "127.0.0.1" if port is None else f"127.0.0.1:{port}",
        "-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", service, "-t", transport,
        "-i", "127.0.0.1", "-mi", "127.0.0.1", "-mp", str(_free_ports()),
        *(() if own_port is None else ("-p", str(own_port))),
        "-m", str(calls), "-r", f"{per_second:g}", "-l", str(at_once), "-d", str(call_ms), "-max_socket", "1000",
        "-nostdin", "-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log",
        "-timeout", f"{limit_s:g}", "-timeout_error", "-recv_timeout", "20000",
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(process.communicate(), limit_s + _AFTER_S)
    except TimeoutError:
        raise AssertionError(f"{scenario}: sipp did not come to an end in {limit_s + _AFTER_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    statistics = folder / "stat.csv"
    if not statistics.exists():
        raise AssertionError(f"{scenario}: sipp did not begin:\n{said.decode(errors='replace')}")
    rows = list(csv.DictReader(statistics.read_text().splitlines(), delimiter=";"))
    log = folder / "errors.log"
    return SippResult(
        scenario=scenario,
        status=process.returncode or 0,
        successful=int(rows[-1]["SuccessfulCall(C)"]),
        failed=int(rows[-1]["FailedCall(C)"]),
        retransmissions=int(rows[-1]["Retransmissions(C)"]),
        most_at_once=max(int(row["CurrentCall"]) for row in rows),
        errors=_errors(log.read_text(errors="replace") if log.exists() else ""),
    )


def _free_ports() -> int:
    """Return an even port that is free together with its three neighbours, from which sipp's audio ports
    count up.
    """
    while True:
        with contextlib.ExitStack() as probes, contextlib.suppress(OSError):
            first = 2 * random.randrange(_MEDIA_PORTS.start // 2, _MEDIA_PORTS.stop // 2)
            for port in range(first, first + 4):
                probe = probes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                probe.bind(("127.0.0.1", port))
            return first


def _errors(log: str) -> str:
    """Return the entries of sipp's log that report an error. A message late for a call that went well is
    none.
    """
    begins = [entry.start() for entry in _ENTRY.finditer(log)]
    ends = [*begins[1:], len(log)]
    entries = [log[begin:end] for begin, end in zip(begins, ends, strict=True)] if begins else [log]
    return "".join(entry for entry in entries if not _LATE.search(entry))
