"""A leg process by itself: it ends when its gateway is gone, and a dead one is started again.

They run against the wall clock, which is the only one that another process knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import pytest

from piopiy_pipeline.gateway.leg_processes import leg_supervisor
from piopiy_pipeline.gateway.leg_processes.leg_pipe import LegPipe
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor, ProcessKind
from piopiy_pipeline.gateway.webrtc.peer_messages import Configure, parse_from_program
from piopiy_pipeline.worker_process import end_worker
from tests.support.browser_peer import until

pytestmark = pytest.mark.realtime

KIND = ProcessKind(
    name="browser",
    module="piopiy_pipeline.gateway.webrtc.peer_program",
    settings=Configure(rate=16000, connect_s=15, grace_s=8),
    parse=parse_from_program,
)
GATEWAY = textwrap.dedent(
    """
    import asyncio
    from piopiy_pipeline.gateway.webrtc.webrtc_calls import WebRtcCalls

    async def main():
        calls = WebRtcCalls(workers=1, place=lambda info, leg: None, addresses=["127.0.0.1"])
        await calls.start()
        await calls.ready()
        print(calls.processes[0].pid, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
    """
)


def gone(pid: int) -> bool:
    """Whether a process that is no child of ours has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_worker_ends_with_its_gateway_even_if_that_is_killed() -> None:
    gateway = subprocess.Popen([sys.executable, "-c", GATEWAY], stdout=subprocess.PIPE, text=True)
    with gateway:
        assert gateway.stdout is not None
        worker = int(gateway.stdout.readline())
        assert not gone(worker)
        gateway.send_signal(signal.SIGKILL)
    asyncio.run(until_gone(worker))


async def until_gone(pid: int) -> None:
    await until(lambda: gone(pid))


def test_closed_while_it_begins_a_worker_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[int | None] = []

    def watched(child: subprocess.Popen[bytes], grace_s: float) -> None:
        end_worker(child, 10 * grace_s)
        ends.append(child.returncode)

    monkeypatch.setattr(leg_supervisor, "end_worker", watched)

    async def story() -> None:
        worker = LegSupervisor(
            1,
            KIND,
            on_event=lambda peer, event: None,
            on_caller_audio=lambda peer, pcm: None,
            on_ready=lambda: None,
            on_died=lambda: None,
        )

        class Closed(LegPipe):
            def __init__(self, **settings: Any) -> None:
                super().__init__(**settings)
                closing.append(asyncio.ensure_future(worker.close()))

        closing: list[asyncio.Future[None]] = []
        monkeypatch.setattr(leg_supervisor, "LegPipe", Closed)
        worker.start()
        await until(lambda: closing)
        await asyncio.wait_for(closing[0], 20)

    asyncio.run(story())
    assert ends == [0]


def test_a_worker_that_hangs_is_replaced_and_close_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        ready, died = asyncio.Event(), asyncio.Event()
        worker = LegSupervisor(
            1,
            replace(KIND, ping_s=0.1),
            on_event=lambda peer, event: None,
            on_caller_audio=lambda peer, pcm: None,
            on_ready=ready.set,
            on_died=died.set,
        )
        worker.start()
        await asyncio.wait_for(ready.wait(), 20)
        first = worker.pid
        assert first is not None
        ready.clear()
        os.kill(first, signal.SIGSTOP)
        with monkeypatch.context() as hurry:
            hurry.setattr(worker, "_kind", replace(KIND, ping_s=0.1, stuck_s=0.3))
            await asyncio.wait_for(died.wait(), 20)
            await until(lambda: worker.pid is None)
        await asyncio.wait_for(ready.wait(), 20)
        second = worker.pid
        assert second is not None
        assert (second != first, worker.restarts, gone(first)) == (True, 1, True)
        await asyncio.wait_for(worker.close(), 10)
        await worker.close()
        assert gone(second)

    asyncio.run(story())
