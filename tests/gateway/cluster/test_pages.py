"""The addresses at which browsers reach the gateways of a cluster: who may use them, and which are taken."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.api.request_limits import BODY_LIMIT
from piopiy_pipeline.gateway.cluster.config import ClusterConfig
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker
from piopiy_pipeline.gateway.config import GatewayConfig
from tests.gateway.cluster.test_relayed_requests import clustered
from tests.support.calls import eventually
from tests.support.gateway_peers import agent, caller, config
from tests.support.web import API_KEY, client

NOBODY = ["nats://127.0.0.1:1"]
PAGES = ["https://a.example", "https://calls.example:8443/b/"]


def test_pages_of_the_cluster_may_use_each_gateway_and_are_told_of_the_others() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], cluster={"servers": NOBODY, "pages": PAGES})
        async with (
            Gateway(settings) as gateway,
            client(gateway) as web,
            client(gateway, key=None) as stranger,
        ):
            info = (await web.get("/api/info", headers={"Origin": "https://calls.example:8443"})).json()
            assert info["pages"] == ["https://a.example", "https://calls.example:8443/b"]
            assert (await stranger.get("/api/info")).json()["pages"] == []
            health = await stranger.get("/healthz", headers={"Origin": "https://a.example"})
            assert health.headers["access-control-allow-origin"] == "https://a.example"
            refused = await web.get("/api/info", headers={"Origin": "https://other.example"})
            assert refused.status_code == 403
            policy = (await stranger.get("/")).headers["content-security-policy"]
            sources = next(one for one in policy.split("; ") if one.startswith("connect-src")).split()[1:]
            assert sources == [
                "'self'",
                "https://a.example",
                "https://calls.example:8443",
                "wss://a.example",
                "wss://calls.example:8443",
            ]

    asyncio.run(story())


def test_pages_of_the_cluster_can_read_what_another_gateway_answers_and_each_refusal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = {"Origin": "https://shop.example"}
    monkeypatch.setattr(GatewayConfig, "known_origins", property(lambda _: [page["Origin"]]))

    async def story() -> None:
        async with clustered(2, MemoryBroker()) as (here, _), client(here) as web:
            web.headers.update(page)
            asks = {"Access-Control-Request-Method": "POST"}
            wanted = {"Access-Control-Request-Headers": "authorization, content-type, idempotency-key"}
            preflight = await web.options("/api/calls", headers={**asks, **wanted})
            assert preflight.status_code == 200
            relayed = await web.post("/api/calls/x/hold", params={"gateway": "b"})
            assert relayed.status_code == 404
            gone = await web.post("/api/calls/x/hold", params={"gateway": "nope"})
            assert gone.status_code == 502
            too_large = await web.post("/api/calls", content=b"x" * (BODY_LIMIT + 1))
            assert too_large.status_code == 413
            del web.headers["authorization"]
            keyless = await web.get("/api/calls")
            assert keyless.status_code == 401
            for answer in (preflight, relayed, gone, too_large, keyless):
                assert answer.headers["access-control-allow-origin"] == page["Origin"]
                assert answer.headers["x-content-type-options"] == "nosniff"
            for answer in (relayed, gone, too_large, keyless):
                assert "Retry-After" in answer.headers["access-control-expose-headers"]
            stranger = await web.get("/api/calls", headers={"Origin": "https://other.example"})
            assert stranger.status_code == 403
            assert "access-control-allow-origin" not in stranger.headers

    asyncio.run(story())


@pytest.mark.parametrize(
    "page",
    [
        "a.example",
        "ws://a.example",
        "https://user@a.example",
        "https://a.example/?x=1",
        "https://a.example; script-src *",
        "https://a.example 'unsafe-inline'",
        "https://a.example:port",
    ],
)
def test_an_address_that_is_none_or_more_than_one_is_refused(page: str) -> None:
    with pytest.raises(ValidationError):
        ClusterConfig(servers=NOBODY, pages=[page])


def test_a_call_whose_gateway_was_killed_is_at_once_no_call_any_more() -> None:
    async def story() -> None:
        async with (
            clustered(2, MemoryBroker()) as (here, there),
            agent(there) as one,
            client(here) as web,
            caller(there) as line,
        ):
            call_id = str((await line.hear("ringing"))["call_id"])
            await one.take()
            await line.hear("answered")
            await web.get("/api/cluster/calls")
            assert here.cluster is not None
            elsewhere = here.cluster.calls.elsewhere
            await eventually(lambda: elsewhere.where(call_id) == "b", 10)
            assert (await web.get(f"/api/calls/{call_id}")).status_code == 200
            assert there.cluster is not None
            there.cluster._directory.leave()  # type: ignore[attr-defined]
            assert elsewhere.where(call_id) == "b", "its presence has not expired"
            assert (await web.get(f"/api/calls/{call_id}")).status_code == 404
            answer = await web.post(f"/api/calls/{call_id}/hold")
            assert answer.status_code == 502
            assert answer.json()["error"] == "gateway 'b' is gone"

    asyncio.run(story())
