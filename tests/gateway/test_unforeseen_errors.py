"""An error that nobody foresaw ends no work that a gateway does by itself for as long as it runs."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.console_messages import RelayedAnswer, RelayedRequest
from piopiy_pipeline.gateway.cluster.instance_searches import InstanceSearches
from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_directory import NatsDirectory
from piopiy_pipeline.gateway.cluster.nats_phones import NatsPhones
from piopiy_pipeline.gateway.cluster.nats_requests import NatsRequests
from piopiy_pipeline.gateway.leg_processes.leg_supervisor import LegSupervisor
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OutgoingMessage
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.delivery import MessageDelivery
from piopiy_pipeline.gateway.sip.transport.endpoint import SipEndpoint
from piopiy_pipeline.gateway.startup import GatewayServices
from piopiy_pipeline.gateway.webhooks.config import WebhookConfig
from piopiy_pipeline.gateway.webhooks.delivery_queue import DeliveryReply
from piopiy_pipeline.gateway.webhooks.sender import Webhooks
from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage
from piopiy_pipeline.signaling.json_messages import dump
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.agents import logged
from tests.support.call_events import NOON, CallEvents
from tests.support.cluster import ModelCluster
from tests.support.fails_once import FailsOnce
from tests.support.memory_jetstream import MemoryJetStream
from tests.support.webhook_receiver import SECRET


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


async def returns() -> None:
    """Do nothing."""


def test_a_gateway_registers_again_at_the_cloud_behind_an_error_of_its_registration() -> None:
    pytest.importorskip("piopiy_agent", reason="pip install 'piopiy-pipeline[cloud]'")
    from piopiy_pipeline.gateway.cloud.cloud_worker import CloudWorker

    async def scenario() -> None:
        worker = CloudWorker.__new__(CloudWorker)  # without leg processes
        fails = FailsOnce(returns)
        worker.pool = cast(Any, SimpleNamespace(ready=returns))
        worker._registration = cast(Any, SimpleNamespace(run=fails))
        with logged() as lines:
            await asyncio.wait_for(worker._run(), 60)
        assert fails.calls == 2
        assert [line.split()[0] for _, line in lines] == ["ERROR"]

    run_virtual(scenario, limit_s=90)


def test_webhooks_of_an_earlier_run_that_cannot_be_had_are_logged() -> None:
    async def scenario() -> None:
        services = GatewayServices.__new__(GatewayServices)  # without a configuration
        services._recovering, services._webhooks = (
            None,
            cast(Any, SimpleNamespace(recover=FailsOnce(returns))),
        )
        with logged() as lines:
            for _ in range(2):
                services._recover_webhooks()
                assert services._recovering is not None
                await services._recovering
        assert [line.split()[0] for _, line in lines] == ["ERROR"]
        assert cast(Any, services._webhooks.recover).calls == 2

    run_virtual(scenario, limit_s=60)


def test_a_receiver_of_webhooks_gets_more_behind_a_message_that_fails() -> None:
    async def scenario() -> None:
        hooks = Webhooks([WebhookConfig(url="https://crm.example/hook", secret=SECRET)], wall=lambda: NOON)
        [receiver] = hooks._receivers
        posted: list[str] = []

        async def post(session: Any, message: WebhookMessage) -> tuple[DeliveryReply, bytes]:
            posted.append(message.event)
            return DeliveryReply(200), b""

        receiver._post = post  # type: ignore[method-assign]
        receiver._log = FailsOnce(receiver._log)  # type: ignore[method-assign]
        receiver._queue.next = FailsOnce(receiver._queue.next)  # type: ignore[method-assign]
        running = asyncio.create_task(receiver.run(cast(Any, None)))
        call = CallEvents()
        with logged() as lines:
            for event in (call.placed(), call.answered(101.0), call.ended(102.0)):
                hooks.on_event(event)
                await asyncio.sleep(2)
        assert posted == ["call.placed", "call.answered", "call.ended"]
        assert [line.split()[0] for _, line in lines] == ["ERROR", "ERROR"]
        receiver.finish()
        await asyncio.wait_for(running, 10)

    run_virtual(scenario, limit_s=60)


def test_a_call_is_told_that_nobody_was_found_when_the_search_fails() -> None:
    async def scenario() -> None:
        found: list[str | None] = []
        searches = InstanceSearches(
            "one",
            "http://127.0.0.1:8090",
            directory=cast(Any, SimpleNamespace(search=FailsOnce(returns))),
            expects=lambda call_id: True,
            on_answer=lambda summons, instance_id, busy: found.append(instance_id),
        )
        summons = SimpleNamespace(call_id="call", agent_id="a", until=1e9, ticket="t" * 32, failed=[])
        searches.begin(cast(Any, summons), takeover=False, apart=False, most_busy=None)
        await asyncio.sleep(1)
        assert found == [None]
        await searches.close()

    run_virtual(scenario, limit_s=60)


def test_a_gateway_whose_request_fails_elsewhere_is_answered() -> None:
    async def scenario() -> None:
        answers: list[RelayedAnswer] = []

        async def respond(_: Any, data: bytes) -> None:
            answers.append(RelayedAnswer.model_validate_json(data))

        requests = NatsRequests(respond, lambda: 1 << 20)
        request = RelayedRequest(
            gateway="two",
            request_id="r" * 16,
            sent_at=0.0,
            deadline_ms=1000,
            method="GET",
            path="/api/calls",
            seal="",
        )
        member = SimpleNamespace(on_request=FailsOnce(returns))
        await requests.take(cast(Any, member), cast(Any, SimpleNamespace(data=dump(request).encode())))
        await asyncio.sleep(1)
        assert [answer.status for answer in answers] == [500]
        await requests.close()

    run_virtual(scenario, limit_s=60)


def test_the_nats_servers_are_listened_to_behind_what_failed_after_the_start() -> None:
    async def scenario() -> None:
        directory = NatsDirectory(ClusterConfig(servers=["nats://127.0.0.1:4222"]), "one")
        heard: list[str] = []

        async def subscribe(subject: str, cb: Any) -> None:
            heard.append(subject)

        client = MemoryJetStream()
        client.subscribe = subscribe  # type: ignore[attr-defined]
        directory._client, directory._opening = cast(Any, client), False
        directory._on_connection = FailsOnce(returns)  # type: ignore[method-assign]
        await asyncio.wait_for(directory._connect(), 10)
        assert cast(Any, directory._on_connection).calls == 2
        assert len(heard) == len(set(heard)) == 5

    run_virtual(scenario, limit_s=60)


def test_what_waits_for_a_sip_peer_is_given_up_when_looking_it_up_fails() -> None:
    async def scenario() -> None:
        lost: list[Any] = []
        addresses = SipAddresses("127.0.0.1", None)
        with pytest.raises(OSError, match="is no name of a host"):
            await addresses.all("a..example")
        addresses.find = FailsOnce(addresses.find)  # type: ignore[method-assign]
        delivery = MessageDelivery(cast(Any, {}), addresses, on_undelivered=lost.append, on_done=lambda: None)
        for _ in range(2):  # the second one finds nothing left of the first
            message = OutgoingMessage(b"x", Flow("udp", "a..example", 5060))
            delivery.send(message)
            await asyncio.sleep(1)
        assert len(lost) == 2
        await delivery.close()

    run_virtual(scenario, limit_s=60)
