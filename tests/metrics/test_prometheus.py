"""A real Prometheus scrapes a real gateway and a real agent, with our rules loaded: Debian's package `prometheus`.

It is started here, on a loopback port and in a temporary folder. Against the clock of the wall, because it has its own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from piopiy_pipeline.session import Call
from tests.support.bots import voice
from tests.support.calls import AGENT_ID, house

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yaml"
PROMETHEUS = shutil.which("prometheus")
KEY = "an-operators-key"

pytestmark = [
    pytest.mark.realtime,
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is missing: apt-get install prometheus"),
]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Prometheus:
    """One that runs, asked over its API."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1"

    async def ask(self, what: str, **parameters: str) -> Any:
        """Return the data of an answer; None while there is no answer."""

        def get() -> Any:
            try:
                with urlopen(f"{self._address}/{what}?{urlencode(parameters)}", timeout=5) as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        return await asyncio.to_thread(get)

    async def query(self, expression: str) -> dict[str, float]:
        """Return the values of an expression, by their labels as JSON."""
        data = await self.ask("query", query=expression)
        found = () if data is None else data["result"]
        return {json.dumps(one["metric"], sort_keys=True): float(one["value"][1]) for one in found}

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        data = await self.ask("alerts")
        alerts = () if data is None else data["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}


@asynccontextmanager
async def prometheus(folder: Path, gateway_port: int, agent_port: int) -> AsyncIterator[Prometheus]:
    assert PROMETHEUS is not None
    port = free_port()
    rules = folder / "alerts.yaml"
    rules.write_text(RULES.read_text().replace("interval: 15s", "interval: 1s"))
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "piopiy-gateway",
                "authorization": {"credentials": KEY},
                "static_configs": [{"targets": [f"127.0.0.1:{gateway_port}"]}],
            },
            {"job_name": "piopiy-agent", "static_configs": [{"targets": [f"127.0.0.1:{agent_port}"]}]},
        ],
    }
    file = folder / "prometheus.json"
    file.write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Prometheus(port)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), 20)
        except TimeoutError:
            process.kill()
            await process.wait()


async def until(holds: Callable[[], Awaitable[bool]], what: str, limit_s: float = 60) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not await holds():  # noqa: ASYNC110  another process is asked
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"not within {limit_s:g} s: {what}")


async def bot(call: Call) -> None:
    agent = await voice(call, greeting="Good day.", texts=["Hello."], replies=["What can I do for you?"])
    await agent.start()


def test_prometheus_scrapes_gateway_and_agent_and_a_silent_instance_alerts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent_port = free_port()
    monkeypatch.setenv("PIOPIY_METRICS_PORT", str(agent_port))

    async def story() -> None:
        async with (
            house(bot, api_keys=[KEY]) as place,
            prometheus(tmp_path, place.gateway.port, agent_port) as scraper,
        ):

            async def both_up() -> bool:
                return list((await scraper.query('up{job=~"piopiy-.*"}')).values()) == [1.0, 1.0]

            await until(both_up, "gateway and agent are scraped")
            groups = (await scraper.ask("rules"))["groups"]
            health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
            assert set(health.values()) <= {"ok", "unknown"}, health
            await place.call("booking/01-people.wav", hangup_after_s=2.0)

            async def counted() -> bool:
                ended = await scraper.query("sum (piopiy_gateway_calls_ended_total)")
                told = await scraper.query("sum (piopiy_agent_calls_ended_total)")
                return list(ended.values()) == [1.0] == list(told.values())

            await until(counted, "the call is counted by both")
            assert await scraper.firing() == set()
            [instance] = place.gateway.switchboard.instances.of(AGENT_ID)
            instance.heartbeats = False

            async def alerted() -> bool:
                now = asyncio.get_running_loop().time()
                place.gateway.switchboard.silences.silent(
                    instance, "it hangs", now
                )  # heartbeats bring it back
                return await scraper.firing() == {"PiopiyInstanceSilent"}

            await until(alerted, "the alert fires")

    asyncio.run(story())
