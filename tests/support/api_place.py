"""A gateway with an agent, numbers to call, and an operator who asks its API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from piopiy_pipeline.gateway import Gateway
from piopiy_pipeline.gateway.core.gateway_call import GatewayCall
from tests.support.gateway_peers import AGENT_ID, Peer, ScriptedAgent, agent, config
from tests.support.switchboard import NotedDialler, NotedFarLeg
from tests.support.web import API_KEY, client

__all__ = ["ORDER", "Place", "place", "problem"]

ORDER = {"agent_id": AGENT_ID, "to": "+15550123"}


class Place:
    """A gateway with an agent, with numbers to call, and with an operator."""

    def __init__(self, gateway: Gateway, one: ScriptedAgent, web: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.agent = one
        self.web = web
        self.dialler = NotedDialler()
        gateway.switchboard.resources.dialler = self.dialler

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def far(self) -> NotedFarLeg:
        return self.dialler.legs[-1]

    def has_tried(self, times: int) -> bool:
        """Whether so many people were called."""
        return len(self.dialler.legs) == times

    def call(self, call_id: str) -> GatewayCall:
        call = self.gateway.switchboard.call(call_id)
        assert call is not None
        return call

    async def order(self, key: str | None = None, **more: Any) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.web.post("/api/calls", json={**ORDER, **more}, headers=headers)

    async def ask(self, call_id: str, what: str, **body: Any) -> httpx.Response:
        return await self.web.post(f"/api/calls/{call_id}/{what}", json=body)

    async def answered(self, line: Peer) -> tuple[str, Peer]:
        """The caller's call is in progress: its id, and the agent's media stream."""
        _, media = await self.agent.take()
        call_id = str((await line.hear("ringing"))["call_id"])
        await line.hear("answered")
        return call_id, media

    async def events(self, call_id: str) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = (await self.web.get(f"/api/calls/{call_id}")).json()["events"]
        return events


@asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[Place]:
    settings = {"api_keys": [API_KEY, "another-key"], **settings}
    async with Gateway(config(**settings)) as gateway, agent(gateway) as one, client(gateway) as web:
        await gateway.ready()
        yield Place(gateway, one, web)


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]
