"""Who may use `/v3`, how often, and where it is switched off."""

from __future__ import annotations

import asyncio

from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN
from tests.support.rest_v3 import AI_CALL, place, post, refusal
from tests.support.web import client


def test_the_keys_are_those_of_our_api() -> None:
    async def story() -> None:
        async with place() as here:
            token = (await here.web.post("/api/tokens", json={"agent_id": AGENT_ID})).json()["token"]
            for key in (None, "wrong", token, AGENT_TOKEN):
                async with client(here.gateway, key=key) as stranger:
                    for method, path in (
                        ("POST", "/voice/ai/call"),
                        ("POST", "/voice/call/hangup"),
                        ("POST", "/calls/x/actions/hold"),
                        ("GET", "/calls/x"),
                        ("GET", "/transfers/x-y"),
                    ):
                        answer = await stranger.request(method, f"/v3{path}", json=AI_CALL)
                        assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
                        assert answer.headers["www-authenticate"] == "Bearer"
                        assert answer.headers["cache-control"] == "no-store"
            assert here.dialler.legs == []

    asyncio.run(story())


def test_an_open_console_is_open_here_as_well_and_to_nobody_behind_a_proxy_or_on_another_page() -> None:
    async def story() -> None:
        async with place(console="open") as here, client(here.gateway, key=None) as web:
            own = await web.post("/v3/voice/ai/call", json=AI_CALL)
            assert own.status_code == 200
            async with client(here.gateway, key="one of Piopiy's cloud") as theirs:
                assert (await theirs.post("/v3/voice/ai/call", json=AI_CALL)).status_code == 200
                assert (await theirs.get("/api/calls")).status_code == 401
            proxied = await web.post(
                "/v3/voice/ai/call", json=AI_CALL, headers={"X-Forwarded-For": "192.0.2.1"}
            )
            assert (proxied.status_code, proxied.json()["error"]) == (401, "unauthorized")
            page = await web.post(
                "/v3/voice/ai/call", json=AI_CALL, headers={"Origin": "https://evil.example"}
            )
            assert page.status_code == 403
            assert len(here.dialler.legs) == 2

    asyncio.run(story())


def test_the_limits_are_those_of_our_api() -> None:
    async def story() -> None:
        async with place(dials_per_minute=1) as here:
            order = {**AI_CALL, "variables": {"x": "x" * 70_000}}
            assert (await post(here, "/voice/ai/call", **order)).status_code == 413
            key = {"Idempotency-Key": "k"}
            first = await here.web.post("/v3/voice/ai/call", json=AI_CALL, headers=key)
            again = await here.web.post("/v3/voice/ai/call", json=AI_CALL, headers=key)
            assert first.json() == again.json()
            assert len(here.dialler.legs) == 1
            refused = await post(here, "/voice/ai/call", **AI_CALL)
            assert refusal(refused)[:2] == (429, "rate_limited")
            assert 1 <= int(refused.headers["retry-after"]) <= 60

    asyncio.run(story())


def test_it_can_be_switched_off_and_what_is_not_there_is_said() -> None:
    async def story() -> None:
        async with place() as here:
            assert refusal(await post(here, "/voice/balance"))[:2] == (404, "not_found")
        async with place(piopiy_rest=False) as here:
            assert (await post(here, "/voice/ai/call", **AI_CALL)).status_code in (404, 405)
            assert here.dialler.legs == []

    asyncio.run(story())
