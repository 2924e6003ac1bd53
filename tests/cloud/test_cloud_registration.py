"""How the gateway stays registered at Piopiy's cloud: in virtual time, with the connections of a cloud that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from loguru import logger

for package in ("livekit.rtc", "piopiy_agent", "grpc"):
    pytest.importorskip(package, reason="pip install 'piopiy-pipeline[cloud]'")

import grpc  # noqa: E402
from piopiy_agent._pb import agent_pb2 as pb  # noqa: E402

from piopiy_pipeline.compat.piopiy_agent import SingleConnectionWorker  # noqa: E402
from piopiy_pipeline.gateway.cloud.cloud_registration import DRAINED_S, REMIND_S, CloudRegistration  # noqa: E402
from piopiy_pipeline.gateway.cloud.config import CloudConfig  # noqa: E402
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual  # noqa: E402

CONFIG = CloudConfig(agent_id="desk", token="t", address="127.0.0.1:9", tls=False)


@pytest.fixture
def told() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message.record["message"])), level="INFO")
    yield lines
    logger.remove(sink)


async def no_job(_: Any) -> None:
    raise AssertionError("no job comes")


def registers(
    monkeypatch: pytest.MonkeyPatch,
    session: Callable[[SingleConnectionWorker], Awaitable[None]],
    story: Callable[[CloudRegistration], Awaitable[None]],
) -> None:
    """Run a story beside a registration, whose connections are `session`."""
    monkeypatch.setattr(SingleConnectionWorker, "_session", session)

    async def whole() -> None:
        registration = CloudRegistration(CONFIG, no_job)
        running = asyncio.create_task(registration.run())
        await story(registration)
        running.cancel()
        await asyncio.wait((running,))

    run_virtual(whole, limit_s=3600)


async def _taken(worker: SingleConnectionWorker) -> None:
    """Take the registration, as the cloud does."""
    heartbeats = asyncio.create_task(worker._heartbeat_loop())
    try:
        await asyncio.Event().wait()
    finally:
        heartbeats.cancel()


def test_a_worker_that_the_cloud_has_drained_is_followed_by_a_new_one(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    workers: list[SingleConnectionWorker] = []

    async def session(worker: SingleConnectionWorker) -> None:
        workers.append(worker)
        await _taken(worker)

    async def story(_: CloudRegistration) -> None:
        await asyncio.sleep(1)
        first = workers[0]
        first._active["job"] = object()
        first._draining = True
        await first._send_status()
        await asyncio.sleep(10 * DRAINED_S)
        assert len(workers) == 1, "its call goes on"
        first._active.clear()
        await first._send_status()
        await asyncio.sleep(DRAINED_S - 1)
        assert len(workers) == 1
        await asyncio.sleep(3)
        assert len(workers) == 2
        assert not workers[1]._draining

    registers(monkeypatch, session, story)
    assert [line for line in told if "drained" in line] == [
        "Piopiy's cloud has drained this worker: it registers again in 30 s"
    ]


def test_a_gateway_that_drains_does_not_register_again(monkeypatch: pytest.MonkeyPatch) -> None:
    workers: list[SingleConnectionWorker] = []

    async def session(worker: SingleConnectionWorker) -> None:
        workers.append(worker)
        await _taken(worker)

    async def story(registration: CloudRegistration) -> None:
        await asyncio.sleep(1)
        await registration.switch_drain(on=True)
        await asyncio.sleep(10 * DRAINED_S)
        assert len(workers) == 1

    registers(monkeypatch, session, story)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, "refuses agent 'desk' with this token"),
        (grpc.StatusCode.PERMISSION_DENIED, "refuses agent 'desk' with this token"),
        (grpc.StatusCode.UNAVAILABLE, "is not reached at 127.0.0.1:9"),
    ],
)
def test_why_no_call_comes_is_one_sentence_and_not_one_each_time(
    monkeypatch: pytest.MonkeyPatch, told: list[str], code: grpc.StatusCode, says: str
) -> None:
    tries: list[float] = []

    async def session(_: SingleConnectionWorker) -> None:
        tries.append(asyncio.get_running_loop().time())
        nothing = grpc.aio.Metadata()
        raise grpc.aio.AioRpcError(code, nothing, nothing, details="failed to connect:\nrefused")

    async def story(_: CloudRegistration) -> None:
        await asyncio.sleep(REMIND_S - 60)

    registers(monkeypatch, session, story)
    assert 8 <= len(tries) <= 16, "it goes on trying, after a pause that grows"
    [line] = told
    assert says in line
    assert "docs/cloud.md" in line
    assert "\n" not in line


def test_a_lost_connection_is_made_again_and_both_are_told(
    monkeypatch: pytest.MonkeyPatch, told: list[str]
) -> None:
    async def session(worker: SingleConnectionWorker) -> None:
        heartbeats = asyncio.create_task(worker._heartbeat_loop())
        await asyncio.sleep(60)
        heartbeats.cancel()

    async def story(_: CloudRegistration) -> None:
        await asyncio.sleep(70)

    registers(monkeypatch, session, story)
    taken = "taking calls of Piopiy's cloud as desk, at 127.0.0.1:9"
    lost = "the connection to Piopiy's cloud at 127.0.0.1:9 is lost, and is made again (it has closed the connection)"
    assert told == [taken, lost, taken]


def test_a_connection_begins_with_the_registration_and_tells_then_which_jobs_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is sent while there is no connection must not come before the registration, and gRPC goes on reading the
    messages of a connection that has ended."""
    sent: list[list[str]] = []
    lose = asyncio.Event()

    async def session(worker: SingleConnectionWorker) -> None:
        here: list[str] = []
        sent.append(here)

        async def read() -> None:
            note = here.append
            async for message in worker._outgoing():
                note(message.WhichOneof("payload"))

        readers.append(asyncio.create_task(read()))  # as gRPC does, and does not cancel it
        await worker._send(pb.WorkerMessage(register=pb.Register(agent_id="desk")))
        heartbeats = asyncio.create_task(worker._heartbeat_loop())
        try:
            await lose.wait()
        finally:
            heartbeats.cancel()

    readers: list[asyncio.Task[None]] = []

    async def story(registration: CloudRegistration) -> None:
        await asyncio.sleep(0.5)
        lose.set()
        worker = registration._worker
        await asyncio.sleep(0.1)
        lose.clear()
        await worker._send_status()
        await worker._send(pb.WorkerMessage(completed=pb.JobCompleted(job_id="job")))
        await worker._send_status()
        await asyncio.sleep(5.0)
        assert readers[0].done()

    registers(monkeypatch, session, story)
    assert sent == [["register", "heartbeat", "status"], ["register", "completed", "heartbeat", "status"]]
