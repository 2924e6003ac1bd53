"""Wrong keys at every door: after some of them even the right one waits for the minute to be over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.access import failure_limiter
from piopiy_pipeline.gateway.access.client_tokens import ClientTokens, TokenRequest
from piopiy_pipeline.gateway.cluster.memory_directory import MemoryBroker
from tests.gateway.cluster.test_relayed_requests import clustered
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, bearer, config
from tests.support.web import API_KEY, client

Guess = Callable[[Gateway, httpx.AsyncClient], Awaitable[object]]
WRONG = bearer("wrong")


@pytest.fixture(autouse=True)
def loopback_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have no other address."""
    monkeypatch.setattr(failure_limiter, "is_loopback", lambda host: False)


async def socket_status(url: str, key: str) -> int:
    try:
        async with connect(url, additional_headers=bearer(key), proxy=None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def watch(gateway: Gateway, key: str) -> None:
    async with connect(f"{gateway.url}/api/events", proxy=None) as socket:
        await socket.send(f'{{"type": "watch", "key": "{key}"}}')
        with pytest.raises(ConnectionClosed):
            await socket.recv()


@pytest.mark.parametrize(
    "guess",
    [
        lambda _, web: web.get("/api/calls", headers=WRONG),
        lambda _, web: web.get("/api/info", headers=WRONG),
        lambda _, web: web.post("/start", headers=WRONG),
        lambda _, web: web.post("/v3/voice/ai/call", headers=WRONG, json={}),
        lambda gateway, _: socket_status(f"{gateway.url}/agent", "wrong"),
        lambda gateway, _: socket_status(f"{gateway.url}/call/{AGENT_ID}", "wrong"),
        lambda gateway, _: watch(gateway, "wrong"),
    ],
    ids=["the API", "what the gateway is", "a session", "Piopiy's API", "an agent", "a caller", "a watcher"],
)
def test_who_guesses_is_refused_everywhere_for_a_while(guess: Guess) -> None:
    async def story() -> None:
        async with Gateway(config(api_keys=[API_KEY])) as gateway, client(gateway) as web:
            for _ in range(failure_limiter.MAX_PER_MINUTE):
                assert (await web.get("/api/calls")).status_code == 200
                await guess(gateway, web)
            refused = await web.get("/api/calls")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")
            assert "wrong keys" in refused.json()["error"]
            assert (await web.get("/api/info")).status_code == 429
            assert (await web.get("/v3/calls/x")).json()["error"] == "rate_limited"
            assert await socket_status(f"{gateway.url}/agent", AGENT_TOKEN) == 429
            del web.headers["authorization"]
            assert (await web.get("/api/info")).status_code == 200, "who shows no key guesses none"

    asyncio.run(story())


@pytest.mark.parametrize(
    "path", ["/api/calls?gateway=nope", "/api/calls/x/nothing", "/api/cluster/nothing?gateway=b"]
)
def test_the_answers_of_other_gateways_tell_nothing_of_a_key_either(path: str) -> None:
    async def story() -> None:
        async with clustered(2, MemoryBroker()) as (gateway, _), client(gateway) as web:
            for _ in range(failure_limiter.MAX_PER_MINUTE):
                assert (await web.get(path, headers=WRONG)).status_code == 401
            for headers in (WRONG, bearer(API_KEY)):
                refused = await web.get(path, headers=headers)
                assert (refused.status_code, refused.headers["retry-after"]) == (429, "60")

    asyncio.run(story())


def test_an_expired_or_missing_credential_and_a_late_media_token_are_no_guesses() -> None:
    async def story() -> None:
        settings = config(api_keys=[API_KEY], token_secret="shared")
        old = ClientTokens("shared", [AGENT_ID], wall=lambda: 1_700_000_000.0).grant(
            TokenRequest(agent_id=AGENT_ID)
        )
        async with Gateway(settings) as gateway, client(gateway) as web:
            for _ in range(failure_limiter.MAX_PER_MINUTE):
                assert (await web.get("/api/calls", headers={"Authorization": ""})).status_code == 401
                assert (await web.post("/start", headers=bearer(old.token))).status_code == 401
                assert (await web.get("/api/info", headers=bearer(old.token))).status_code == 200
                assert await socket_status(f"{gateway.url}/media/a-call", "late") == 401
            assert (await web.get("/api/calls")).status_code == 200

    asyncio.run(story())
