"""A gateway that is asked by `/v3`, and the bodies of the usual requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from piopiy_pipeline.gateway import Gateway
from tests.support.api_place import Place
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, agent, config
from tests.support.web import API_KEY, client

__all__ = ["AI_CALL", "PCMO", "PHONE", "connect", "place", "post", "refusal"]

AI_CALL = {"caller_id": "919999999999", "to_number": "918888888888", "agent_id": AGENT_ID}
PCMO = {"caller_id": "919999999999", "to_number": "918888888888", "app_id": "app"}
PHONE = {"type": "pstn", "number": "917777777777"}


@asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[Place]:
    settings = {"api_keys": [API_KEY], "agents": {AGENT_ID: AGENT_TOKEN, "second": "other-token"}, **settings}
    async with Gateway(config(**settings)) as gateway, agent(gateway) as one, client(gateway) as web:
        await gateway.ready()
        yield Place(gateway, one, web)


async def post(here: Place, path: str, **body: Any) -> httpx.Response:
    return await here.web.post(f"/v3{path}", json=body)


def connect(*endpoints: dict[str, Any], **params: Any) -> dict[str, Any]:
    return {"action": "connect", "params": params, "endpoints": list(endpoints)}


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    body = answer.json()
    assert body["request_id"], "each error has one"
    return answer.status_code, body["error"], body["message"]
