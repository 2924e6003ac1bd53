"""An error that nobody foresaw ends no work that a gateway does by itself for as long as it runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.cluster.nats_phones import NatsPhones
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import ModelCluster
from tests.support.memory_jetstream import MemoryJetStream


class FailsOnce:
    """A function that fails the first time. It counts how often it was called."""

    def __init__(self, works: Callable[..., Any]) -> None:
        self.calls = 0
        self._works = works

    def __call__(self, *args: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise RuntimeError("nobody foresaw it")
        return self._works(*args, **options)


@pytest.mark.parametrize(
    ("of", "work"),
    [("_watch", "_connected"), ("calls", "_tell"), ("_announcements", "_agents")],
    ids=["looking for others", "telling of calls", "announcing"],
)
def test_what_a_gateway_of_a_cluster_does_every_now_and_then_goes_on(of: str, work: str) -> None:
    errors: list[Any] = []

    async def scenario() -> None:
        house = ModelCluster(random.Random(1), talk_s=3.0)
        await house.open(2, 1, 1)
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(context["exception"])
        )
        part = getattr(next(iter(house.gateways.values())).cluster, of)
        fails = FailsOnce(getattr(part, work))
        setattr(part, work, fails)
        await asyncio.sleep(30)
        assert fails.calls > 5

    run_virtual(scenario, limit_s=60)
    assert [str(error) for error in errors] == ["nobody foresaw it"]


def test_the_port_of_telephones_goes_on_looking_after_its_connections() -> None:
    errors: list[Any] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: errors.append(context["exception"])
        )
        endpoint = SipEndpoint.__new__(SipEndpoint)  # without a socket
        endpoint._loop = asyncio.get_running_loop()
        endpoint._trust_at = float("inf")
        fails = FailsOnce(lambda now: None)
        endpoint._connections = cast(Any, SimpleNamespace(check=fails))
        endpoint._loop.call_soon(endpoint._sweep)
        await asyncio.sleep(120)
        assert fails.calls > 5

    run_virtual(scenario, limit_s=200)
    assert [str(error) for error in errors] == ["nobody foresaw it"]


def test_what_is_kept_in_jetstream_is_written_behind_what_cannot_be() -> None:
    async def scenario() -> None:
        servers = MemoryJetStream()
        phones = NatsPhones(cast(Any, servers), "test")
        phones._rewrite = FailsOnce(phones._rewrite)  # type: ignore[method-assign]
        phones.keep("one", "gateway", [])
        phones.keep("two", "gateway", [])
        await asyncio.sleep(10)
        assert (phones._waiting, cast(Any, phones._rewrite).calls) == ({}, 2)
        await phones.close()
        checkpoints = NatsCheckpoints(cast(Any, servers), "test")
        servers.put = fails = FailsOnce(servers.put)  # type: ignore[method-assign]
        checkpoints.save("one", {"n": 1})
        checkpoints.save("two", {"n": 2})
        await asyncio.sleep(10)
        assert (checkpoints._waiting, fails.calls, list(servers.rows)) == ({}, 2, ["two"])
        await checkpoints.close()

    run_virtual(scenario, limit_s=60)


def test_what_changes_is_told_the_nats_servers_behind_what_failed() -> None:
    async def scenario() -> None:
        directory = NatsDirectory(ClusterConfig(servers=["nats://127.0.0.1:4222"]), "one")
        directory._client = cast(Any, MemoryJetStream())
        looked = asyncio.Event()

        class Stores:
            async def look(self) -> None:
                looked.set()

        async def sends() -> None:
            pass

        directory._outbox.send_all = FailsOnce(sends)  # type: ignore[method-assign]
        directory._work.set()
        running = asyncio.create_task(directory._run(cast(Any, Stores())))
        await asyncio.wait_for(looked.wait(), 10)
        running.cancel()

    run_virtual(scenario, limit_s=60)


def test_a_leg_process_is_supervised_behind_an_error_of_its_supervision() -> None:
    async def scenario() -> None:
        supervisor = LegSupervisor.__new__(LegSupervisor)  # without a process
        supervisor.name, supervisor.restarts, supervisor._closing = "leg process 1", 0, False
        supervisor._lost = asyncio.Event()

        async def runs() -> None:
            supervisor._closing = True

        supervisor._run_once = FailsOnce(runs)  # type: ignore[method-assign]
        await asyncio.wait_for(supervisor._supervise(), 30)
        assert (supervisor.restarts, supervisor._closing) == (1, True)

    run_virtual(scenario, limit_s=60)
