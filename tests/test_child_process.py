"""`benchmarks/child_process.py`: the processes of a benchmark end with it, and one that fails says why."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest

from benchmarks import child_process
from benchmarks.child_process import ROOT, Failed, program
from benchmarks.echo_gateway import free_port, start_process, wait_until_listening
from benchmarks.missing import sentence

NO_ROOM = "import sys; sys.exit('there is no room for it')"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
)


def test_a_gateway_that_does_not_start_says_why() -> None:
    async def story() -> None:
        port = free_port()
        async with AsyncExitStack() as stack:
            settings = "/nonexistent/gateway.toml"
            gateway = await start_process(stack, "piopiy_pipeline.cli", "gateway", "--config", settings)
            with pytest.raises(Failed, match=r"the gateway did not start:[^$]*/nonexistent/gateway\.toml"):
                await wait_until_listening(port, gateway)

    asyncio.run(story())


def test_a_program_that_ends_before_it_has_answered_says_why() -> None:
    async def story() -> None:
        async with program(sys.executable, "-c", NO_ROOM, pipes=True) as started:
            with pytest.raises(Failed, match=r"did not say where it is:\nthere is no room for it") as failed:
                await started.line("where it is")
        assert sentence(failed.value) == str(failed.value), "without a traceback"

    asyncio.run(story())


def test_a_program_that_does_not_end_when_it_is_asked_to_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story() -> None:
        monkeypatch.setattr(child_process, "END_LIMIT_S", 0.1)
        async with program(sys.executable, "-c", STUBBORN, pipes=True) as started:
            assert await started.line("that it is here") == b"here\n"
            assert not started.has_ended
        assert started.process.returncode == -signal.SIGKILL

    asyncio.run(story())


def test_an_interrupted_benchmark_leaves_no_program_behind() -> None:
    async def story() -> None:
        here = asyncio.Event()
        pids: list[int] = []

        async def benchmark() -> None:
            async with program(sys.executable, "-c", "input()", pipes=True) as started:
                pids.append(started.pid)
                here.set()
                await asyncio.Event().wait()

        running = asyncio.create_task(benchmark())
        await here.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        with pytest.raises(ProcessLookupError):
            os.kill(pids[0], 0)

    asyncio.run(story())


def test_a_benchmark_that_is_terminated_leaves_no_program_and_no_file_behind(tmp_path: Path) -> None:
    benchmark = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stream_leg", "--calls", "1"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    own = psutil.Process(benchmark.pid)
    until = time.monotonic() + 60
    while not (started := own.children()):
        assert benchmark.poll() is None
        assert time.monotonic() < until
    benchmark.terminate()
    assert benchmark.wait(30) == -signal.SIGINT, "as at a Ctrl-C"
    assert psutil.wait_procs(started, timeout=10)[1] == []
    assert [*tmp_path.iterdir()] == []
