"""``/metrics`` of a gateway over its port: who may read it, and what it says of instances, calls and the rest."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.core.switchboard import Switchboard
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.metrics.gateway_metrics import GatewayMetrics
from piopiy_pipeline.signaling.instance_messages import WorkerKind
from piopiy_pipeline.signaling.messages import Load, Status
from piopiy_pipeline.testing.virtual_time.virtual_loop import run_virtual
from tests.support.cluster import ModelAgent, ModelCluster
from tests.support.gateway_peers import AGENT_ID, agent, bearer, config, until
from tests.support.metrics import samples_of, value_of
from tests.support.switchboard import LIMITS, Room
from tests.support.web import API_KEY, client

ROOT = Path(__file__).parents[3]


def test_operators_read_the_numbers_and_nobody_else_does() -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway, key=None) as web:
            assert (await web.get("/metrics")).status_code == 401
            assert (await web.get("/metrics", headers=bearer("wrong"))).status_code == 401
            answer = await web.get("/metrics", headers=bearer(API_KEY))
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=")
            assert "no-store" in answer.headers["cache-control"]

    asyncio.run(story())


@pytest.mark.parametrize(("networks", "status"), [(["127.0.0.0/8"], 200), (["10.0.0.0/8"], 401)])
def test_a_listed_network_needs_no_key(networks: list[str], status: int) -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], metrics_networks=networks)
        async with Gateway(settings) as gateway, client(gateway, key=None) as web:
            headers = {"X-Forwarded-For": "10.1.2.3"}
            assert (await web.get("/metrics", headers=headers)).status_code == status
            assert (await web.get("/api/calls")).status_code == 401

    asyncio.run(story())


def test_a_network_that_is_none_is_refused_with_the_configuration() -> None:
    with pytest.raises(GatewayError, match="metrics_networks"):
        GatewayConfig.load(environ={"PIOPIY_GATEWAY_METRICS_NETWORKS": '["10.0.0.0/99"]'})


@pytest.mark.parametrize(
    ("worker", "active", "state"),
    [
        ("call", 1, "serving"),
        ("call", 0, "draining"),
        ("apart", 1, "serving"),
        ("shared", 1, "draining"),
        (None, 1, "draining"),
    ],
)
def test_a_worker_of_one_call_that_has_it_does_not_count_as_draining(
    worker: WorkerKind | None, active: int, state: str
) -> None:
    room = Room()
    room.board = Switchboard(limits=LIMITS, max_calls=10)  # without telephones
    instance = room.agent(capacity=1, worker=worker).instance
    room.board.receive(instance, Status(active=active, capacity=1, state="draining"), room.now)
    text = GatewayMetrics(room.board, process=False).render().decode()
    assert value_of(text, "piopiy_gateway_instances", agent_id="desk", state=state) == 1
    assert value_of(text, "piopiy_gateway_agent_free_calls", agent_id="desk") == 0


def test_instances_are_counted_by_what_they_take() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY])
        async with Gateway(settings) as gateway, agent(gateway, capacity=3), client(gateway) as web:
            text = (await web.get("/metrics")).text
            labels = {"agent_id": AGENT_ID}
            assert value_of(text, "piopiy_gateway_instances", state="serving", **labels) == 1
            assert value_of(text, "piopiy_gateway_agent_capacity_calls", **labels) == 3
            assert value_of(text, "piopiy_gateway_agent_free_calls", **labels) == 3
            assert value_of(text, "piopiy_gateway_calls_limit") == settings.max_calls
            [instance] = gateway.switchboard.instances.of(AGENT_ID)
            load = Load(
                busy=0.9, lag_p95_ms=40.0, core=0.9, takes="takeovers", why="it is busy for 90% of its time"
            )
            now = asyncio.get_running_loop().time()
            gateway.switchboard.receive(instance, Status(active=1, capacity=3, load=load), now)
            text = (await web.get("/metrics")).text
            assert value_of(text, "piopiy_gateway_instances", state="overloaded", **labels) == 1
            assert value_of(text, "piopiy_gateway_agent_busy_ratio", **labels) == 0.9
            assert value_of(text, "piopiy_gateway_agent_loop_lag_seconds", **labels) == 0.04
            assert value_of(text, "piopiy_gateway_agent_free_calls", **labels) == 0
            gateway.switchboard.silences.silent(instance, "it hangs", asyncio.get_running_loop().time())
            text = (await web.get("/metrics")).text
            assert value_of(text, "piopiy_gateway_instances", state="silent", **labels) == 1
            assert (
                "piopiy_gateway_instances",
                tuple(sorted({"state": "serving", **labels}.items())),
            ) not in samples_of(text)
            assert value_of(text, "piopiy_gateway_agent_free_calls", **labels) == 0
            assert value_of(text, "piopiy_gateway_instances_silent_total") == 1
            assert value_of(text, "process_resident_memory_bytes") > 1e6

    asyncio.run(story())


def test_leg_processes_that_died_are_counted_by_their_kind() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], webrtc_workers=1)
        async with Gateway(settings) as gateway, client(gateway) as web:
            name, labels = "piopiy_gateway_leg_process_restarts_total", {"process": "browser"}
            assert value_of((await web.get("/metrics")).text, name, **labels) == 0
            assert gateway._services is not None
            browser = gateway._services._browser
            assert browser is not None
            await browser.ready()
            pid = browser.processes[0].pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: browser.processes[0].restarts == 1)
            assert value_of((await web.get("/metrics")).text, name, **labels) == 1

    asyncio.run(story())


def test_the_page_of_metrics_is_as_the_code_has_it() -> None:
    command = [sys.executable, "scripts/metrics_table.py", "--check"]
    checked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stderr


def test_a_gateway_of_several_says_how_its_cluster_is_and_one_that_is_alone_that_nothing_is_wrong() -> None:
    alone = Switchboard(limits=LIMITS, max_calls=10)
    text = GatewayMetrics(alone, process=False).render().decode()
    assert value_of(text, "piopiy_gateway_cluster_cut_off") == 0
    assert "piopiy_gateway_summonses_total{" not in text

    async def story() -> None:
        house = ModelCluster(random.Random(1), talk_s=1e6)
        await house.open(2, 0, 1)
        home, other = house.gateways.values()
        house.agents.append(ModelAgent(house, "agent-0", 1))
        house.agents[-1].register(home)
        await asyncio.sleep(0.5)
        metrics = GatewayMetrics(other.board, process=False)
        other.place("call-1")
        await asyncio.sleep(1)
        other.place("call-2")
        await asyncio.sleep(1)
        text = metrics.render().decode()
        assert value_of(text, "piopiy_gateway_cluster_gateways") == 1
        assert value_of(text, "piopiy_gateway_cluster_cut_off") == 0
        assert value_of(text, "piopiy_gateway_cluster_conflicts") == 0
        assert value_of(text, "piopiy_gateway_cluster_store_failing") == 0
        assert value_of(text, "piopiy_gateway_cluster_messages_left_out") == 0
        assert value_of(text, "piopiy_gateway_summonses_total", outcome="came") == 1
        assert value_of(text, "piopiy_gateway_summonses_total", outcome="missed") == 0
        assert value_of(text, "piopiy_gateway_summonses_total", outcome="nobody") >= 1
        house.broker.down = True
        other.cluster.on_connection()
        await asyncio.sleep(10)
        text = metrics.render().decode()
        assert value_of(text, "piopiy_gateway_cluster_cut_off") == 1
        assert value_of(text, "piopiy_gateway_cluster_gateways") == 0
        house.broker.down = False
        await house.close()

    run_virtual(story, limit_s=600)
