"""Who is admitted at the gateway's port, and what is said to who is not: over real sockets on loopback."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from piopiy_pipeline.gateway import Gateway
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, CALLER_KEY, agent, bearer, caller, config


async def refused(url: str, token: str | None) -> tuple[int, str]:
    """The status and the text with which the gateway refuses."""
    headers = bearer(token) if token else {}
    with pytest.raises(InvalidStatus) as raised:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    return raised.value.response.status_code, raised.value.response.body.decode()


def test_a_wrong_or_missing_token_is_401_with_what_is_wrong() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            assert await refused(f"{gateway.url}/agent", None) == (
                401,
                "send 'Authorization: Bearer <token>'\n",
            )
            status, text = await refused(f"{gateway.url}/agent", CALLER_KEY)
            assert (status, "no agent" in text) == (401, True)
            status, text = await refused(f"{gateway.url}/call/{AGENT_ID}", AGENT_TOKEN)
            assert (status, "caller key" in text) == (401, True)
            status, text = await refused(f"{gateway.url}/media/some-call", AGENT_TOKEN)
            assert (status, "media token" in text) == (401, True)

    asyncio.run(story())


def test_an_unknown_path_or_agent_is_404() -> None:
    async def story() -> None:
        async with Gateway(config()) as gateway:
            assert (await refused(f"{gateway.url}/nowhere", AGENT_TOKEN))[0] == 404
            status, text = await refused(f"{gateway.url}/call/nobody", CALLER_KEY)
            assert (status, text) == (404, "this gateway has no agent 'nobody'\n")

    asyncio.run(story())


def test_a_media_token_opens_one_stream_of_one_call() -> None:
    async def story() -> None:
        async with (
            Gateway(config()) as gateway,
            agent(gateway) as one,
            caller(gateway) as line,
        ):
            first, _ = await one.take()
            await line.hear("answered")
            path = gateway.url + first["media_path"]
            assert (await refused(path, first["media_token"]))[0] == 401, "used before"
            async with caller(gateway) as other:
                second = await one.offer()
                assert (await refused(path, second["media_token"]))[0] == 401, "another call's"
                assert (await refused(gateway.url + second["media_path"], "forged"))[0] == 401
                await one.take(second)
                await other.hear("answered")

    asyncio.run(story())
