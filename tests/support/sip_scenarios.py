"""sipp, the load caller of Debian's `sip-tester`: runs a scenario of `tests/sip/scenarios` against a port."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

__all__ = ["SCENARIOS", "needs_sipp", "run_sipp"]

SCENARIOS = Path(__file__).parents[1] / "sip" / "scenarios"
_LIMIT_S = 60.0

needs_sipp = pytest.mark.skipif(shutil.which("sipp") is None, reason="sipp is not installed (sip-tester)")


async def run_sipp(
    scenario: str,
    port: int,
    folder: Path,
    *options: str,
    number: str = "100",
    calls: int = 1,
    rate: int = 20,
    transport: str = "u1",
) -> None:
    """Run to its end. Raises `AssertionError` with what went wrong, as sipp tells it."""
    process = await asyncio.create_subprocess_exec(
        "sipp",
        "127.0.0.1" if port == 0 else f"127.0.0.1:{port}",
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-i", "127.0.0.1", "-s", number, "-t", transport),
        *("-m", str(calls), "-r", str(rate), "-nostdin", "-trace_err", "-error_file", "errors.log"),
        *("-max_socket", "1000", "-timeout", "50", "-timeout_error", "-recv_timeout", "10000", *options),
        cwd=folder,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, errors = await asyncio.wait_for(process.communicate(), _LIMIT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise AssertionError(f"{scenario}: sipp did not come to an end in {_LIMIT_S:.0f} s") from None
    log = folder / "errors.log"
    told = log.read_text(errors="replace") if log.exists() else errors.decode(errors="replace")
    assert process.returncode == 0, f"{scenario}: sipp returned {process.returncode}:\n{told}"
