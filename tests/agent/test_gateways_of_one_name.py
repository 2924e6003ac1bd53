"""Agents of several gateways with one name: all of a call goes to the gateway that has it. Over real sockets."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from piopiy_pipeline.call import CallInfo
from piopiy_pipeline.gateway import Gateway, GatewayConfig
from piopiy_pipeline.session import Call
from tests.cluster.test_nats_cluster import at_home, config, known
from tests.support.bots import LONG, voice
from tests.support.calls import AGENT_ID, SETTINGS, TOKEN, eventually
from tests.support.loopback_certificate import certificate
from tests.support.nats_server import nats_server, needs_nats
from tests.support.one_name import NAME, OneName
from tests.support.switchboard import NotedLeg

pytestmark = pytest.mark.realtime
ONE, TWO = "127.0.0.1", "127.0.0.2"


def alone(host: str, port: int = 0, **more: Any) -> GatewayConfig:
    return GatewayConfig(host=host, port=port, agents={AGENT_ID: TOKEN}, **{**SETTINGS, **more})


async def bot(call: Call) -> None:
    await (await voice(call, greeting=LONG)).start()


async def is_answered(gateway: Gateway) -> None:
    """Call at a gateway, and see the agent answer."""
    leg = NotedLeg()
    gateway._place_leg(CallInfo(agent_id=AGENT_ID, call_id="call-1"), leg)
    await eventually(lambda: leg.ended or "answer" in leg.notes)
    assert leg.ended is None


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_the_media_stream_goes_to_the_gateway_that_made_the_offer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, scheme: str
) -> None:
    name = OneName(monkeypatch, ONE, TWO)
    tls: dict[str, Any] = {}
    if scheme == "wss":  # the certificate has the name, and no address
        chain, key = certificate(tmp_path, name=NAME)
        monkeypatch.setenv("SSL_CERT_FILE", str(chain))
        tls = {"tls_certificate": chain, "tls_key": key}

    async def story() -> None:
        async with (
            Gateway(alone(ONE, **tls)) as one,
            Gateway(alone(TWO, one.port, **tls)) as two,
            at_home(bot, f"{scheme}://{NAME}:{one.port}"),
        ):
            [home] = [each for each in (one, two) if each.switchboard.instances.of(AGENT_ID)]
            name.hosts = [TWO, ONE] if home is one else [ONE, TWO]
            await is_answered(home)

    asyncio.run(story())


@needs_nats
def test_so_does_that_of_a_call_at_another_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    name = OneName(monkeypatch, TWO)

    async def story() -> None:
        async with nats_server() as server, Gateway(alone(ONE)) as stranger:
            cluster = {"url": f"ws://{NAME}:{stranger.port}"}
            async with (
                Gateway(config(server)) as home,
                Gateway(config(server, host=TWO, port=stranger.port, cluster=cluster)) as other,
                at_home(bot, home.url) as agent,
            ):
                await eventually(lambda: known(home) == known(other) == 1)
                name.hosts = [TWO, ONE]
                leg = NotedLeg()
                other._place_leg(CallInfo(agent_id=AGENT_ID, call_id="call-1"), leg)
                await eventually(lambda: leg.ended or agent._roaming.connections)
                name.hosts = [ONE, TWO]
                await eventually(lambda: leg.ended or "answer" in leg.notes)
                assert leg.ended is None

    asyncio.run(story())
