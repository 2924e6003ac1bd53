"""``/metrics`` of an agent: read over HTTP, while real calls go on, in one process and over call workers."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import threading
from types import SimpleNamespace
from typing import Literal
from urllib.request import urlopen

import pytest

from piopiy_pipeline.agent import agent_metrics
from piopiy_pipeline.agent.agent import Agent
from piopiy_pipeline.agent.agent_numbers import AgentNumbers
from piopiy_pipeline.agent.linux_process import children
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.metrics.agent_counts import COUNTS
from piopiy_pipeline.metrics.agent_families import AGENT_FAMILIES
from piopiy_pipeline.metrics.forwarded_counts import ForwardedCounts, replay_counts
from piopiy_pipeline.metrics.http_server import MetricsServer, parse_address
from piopiy_pipeline.metrics.registry import MetricRegistry
from piopiy_pipeline.session import Call
from tests.support.agents import AgentProcess, apart, logged
from tests.support.bots import voice
from tests.support.calls import AGENT_ID, SETTINGS, TOKEN, eventually, house
from tests.support.metrics import value_of


def read(address: str) -> str:
    """Return what is served there."""
    with urlopen(address, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


async def scrape(port: int) -> str:
    return await asyncio.to_thread(read, f"http://127.0.0.1:{port}/metrics")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9464", ("::1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
    ],
)
def test_an_address_is_a_port_with_or_without_a_host(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "1:2:x", "70000", "-1"])
def test_what_is_no_port_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="no port for metrics"):
        parse_address(text)


async def bot(call: Call) -> None:
    agent = await voice(call, greeting="Good day.", texts=["Hello."], replies=["What can I do?"])
    await agent.start()


def test_an_agent_is_read_while_it_serves_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        port = free_port()
        monkeypatch.setenv("PIOPIY_METRICS_PORT", str(port))
        async with house(bot) as place:
            await eventually(lambda: COUNTS.sink is not None, 10)
            await place.call("booking/01-people.wav", hangup_after_s=2.0)
            await eventually(lambda: place.agent.active == 0, 10)
            text = ""
            async with asyncio.timeout(20):
                while value_of(text, "piopiy_agent_connected") == 0:
                    text = await scrape(port)
            assert value_of(text, "piopiy_agent_info", agent_id=AGENT_ID, version=_version()) == 1
            assert value_of(text, "piopiy_agent_connected") == 1
            assert value_of(text, "piopiy_agent_processes") == 1
            assert value_of(text, "piopiy_agent_processes_memory_bytes") > 1e7
            assert value_of(text, "piopiy_agent_turns_total", role="bot") >= 1
            ended = re.findall(r"^piopiy_agent_calls_ended_total.*$", text, re.MULTILINE)
            assert len(ended) == 1
            assert value_of(text, "piopiy_agent_loop_lag_seconds_count") > 0
        assert COUNTS.sink is None, "nobody counts for an agent that is gone"
        with pytest.raises(OSError, match="refused"):
            await scrape(port)

    asyncio.run(story())


def _version() -> str:
    from piopiy_pipeline._version import __version__

    return __version__


@pytest.mark.parametrize(
    "isolation",
    ["task", pytest.param("process", marks=pytest.mark.skipif(sys.platform != "linux", reason="Linux"))],
)
def test_a_port_that_is_taken_ends_the_agent_with_a_sentence(isolation: Literal["task", "process"]) -> None:
    async def story() -> None:
        before = set(children())
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            agent = Agent(AGENT_ID, TOKEN, bot, metrics_port=port, isolation=isolation)
            with pytest.raises(
                RuntimeError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"
            ):
                await agent.connect()
        assert set(children()) <= before, "no process is left"

    asyncio.run(story())


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux")
def test_the_calls_of_all_call_workers_are_added_up_and_outlive_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the clock of the wall, because call workers are real processes."""

    async def story() -> None:
        port = free_port()
        for name, value in {
            "ISOLATION": "process",
            "WORKERS": "call",
            "WARM": "2",
            "METRICS_PORT": str(port),
        }.items():
            monkeypatch.setenv(f"PIOPIY_{name}", value)
        async with apart(arguments=("-m", "tests.support.harmful_bots")) as place:
            talks = {"bot": "talks", "text": "Hello there."}
            await asyncio.gather(*(place.call(metadata=talks, hangup_after_s=2.0) for _ in range(3)))
            killed = place.call(metadata={"bot": "harms", "harm": "segfault"}, hangup_after_s=2.0)
            await asyncio.wait_for(killed, 40)
            text = ""
            async with asyncio.timeout(40):
                while value_of(text, "piopiy_agent_worker_deaths_total") == 0 or _ended(text) < 3:
                    text = await scrape(port)
                    await asyncio.sleep(0.1)
            assert value_of(text, "piopiy_agent_turns_total", role="bot") >= 3
            assert value_of(text, "piopiy_agent_connected") == 1
            assert value_of(text, "piopiy_agent_processes") >= 1
            assert value_of(text, "piopiy_agent_loop_lag_seconds_count") > 0

    asyncio.run(story())


@pytest.mark.realtime
@pytest.mark.skipif(sys.platform != "linux", reason="isolation='process' is for Linux")
def test_an_agent_with_call_workers_is_not_connected_while_its_gateway_is_gone() -> None:
    async def story() -> None:
        port, metrics = free_port(), free_port()

        async def connected(value: int) -> None:
            async with asyncio.timeout(40):
                while value_of(await scrape(metrics), "piopiy_agent_connected") != value:
                    pass  # to read it takes a while

        config = GatewayConfig(agents={AGENT_ID: TOKEN}, port=port, **SETTINGS)
        variables = {"ISOLATION": "process", "WORKERS": "1", "METRICS_PORT": f"{metrics}"}
        environment = {f"PIOPIY_{name}": value for name, value in variables.items()}
        url, arguments = f"ws://127.0.0.1:{port}", ("-m", "tests.support.harmful_bots")
        process = await AgentProcess.start(url, arguments=arguments, environment=environment)
        try:
            for _ in range(2):
                async with Gateway(config) as gateway:
                    await gateway.wait_for_agent(AGENT_ID, 60)
                    await connected(1)
                await connected(0)
        finally:
            await process.close()

    asyncio.run(story())


def _ended(text: str) -> float:
    found = re.findall(r"^piopiy_agent_calls_ended_total\{.*\} (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def test_counts_of_another_process_are_the_same_here() -> None:
    there, here = ForwardedCounts(), MetricRegistry(AGENT_FAMILIES, process=False)
    for _ in range(3):
        there.inc("piopiy_agent_turns_total", role="bot")
    for number in range(2500):
        there.observe("piopiy_agent_loop_lag_seconds", number / 1000)
    messages = list(there.take())
    assert list(there.take()) == []
    for entries in messages:
        replay_counts(entries, here)
    text = here.render().decode()
    assert value_of(text, "piopiy_agent_turns_total", role="bot") == 3
    assert value_of(text, "piopiy_agent_loop_lag_seconds_count") == 2500
    assert value_of(text, "piopiy_agent_loop_lag_seconds_sum") == pytest.approx(2499 * 1250 / 1000)


def test_what_waits_is_bounded() -> None:
    there = ForwardedCounts()
    for number in range(3 * ForwardedCounts.MAX_VALUES):
        there.observe("piopiy_agent_loop_lag_seconds", float(number))
        there.inc("piopiy_agent_turns_total", role=f"{number}")
    sizes = [len(str(entries)) for entries in there.take()]
    assert sum(sizes) < 100 * ForwardedCounts.MAX_VALUES
    assert max(sizes) < 64 * 1024


def test_a_client_that_says_nothing_holds_up_the_next_one_for_a_bounded_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from piopiy_pipeline.metrics import http_server

    monkeypatch.setattr(http_server._Handler, "timeout", 0.2)
    server = MetricsServer(MetricRegistry(AGENT_FAMILIES, process=False), "127.0.0.1", 0)
    try:
        with socket.create_connection(("127.0.0.1", server.port)):
            assert "piopiy_agent_calls" in read(f"http://127.0.0.1:{server.port}/metrics")
    finally:
        server.close()


@pytest.mark.parametrize(("host", "shown"), [("::1", "[::1]"), ("127.0.0.1", "127.0.0.1")])
def test_the_address_in_the_log_can_be_opened(host: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server = SimpleNamespace(port=9464, close=lambda: None)
    monkeypatch.setattr(agent_metrics, "MetricsServer", lambda registry, host, port: server)
    numbers = AgentNumbers(calls=0, capacity=1, draining=False, connected=True, pids=[])

    async def story() -> None:
        metrics = agent_metrics.AgentMetrics(AGENT_ID, lambda: numbers, host, 9464)
        with logged() as lines:
            metrics.start("alone")
        metrics.close()
        assert f"INFO metrics at http://{shown}:9464/metrics" in [line for _, line in lines]

    asyncio.run(story())


def test_the_server_starts_without_asking_for_the_name_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda name="": pytest.fail("it asked DNS"))
    server = MetricsServer(MetricRegistry(AGENT_FAMILIES, process=False), "127.0.0.1", 0)
    try:
        assert "piopiy_agent_calls" in read(f"http://127.0.0.1:{server.port}/metrics")
    finally:
        server.close()


def test_a_client_that_sends_a_byte_now_and_then_does_not_have_the_server_to_itself(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from piopiy_pipeline.metrics import http_server

    monkeypatch.setattr(http_server._Handler, "timeout", 0.3)
    server = MetricsServer(MetricRegistry(AGENT_FAMILIES, process=False), "127.0.0.1", 0)
    answered = threading.Event()
    with socket.create_connection(("127.0.0.1", server.port)) as slow:

        def send() -> None:
            with contextlib.suppress(OSError):
                while not answered.wait(0.05):
                    slow.sendall(b"a")

        sending = threading.Thread(target=send)
        sending.start()
        try:
            assert "piopiy_agent_calls" in read(f"http://127.0.0.1:{server.port}/metrics")
        finally:
            answered.set()
            sending.join()
            server.close()
    assert capfd.readouterr().err == ""
