"""An operator's server that receives webhooks, on a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from piopiy_pipeline.gateway.webhooks.config import WebhookConfig

__all__ = ["SECRET", "Receiver", "receiving"]

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


class Receiver:
    """An operator's server: notes what comes, and answers with `answers`, then 204."""

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.answers: list[web.Response] = []
        self.wait: asyncio.Event | None = None

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.heard.append(json.loads(body))
        if self.wait is not None:
            await self.wait.wait()
        return self.answers.pop(0) if self.answers else web.Response(status=204)

    @property
    def types(self) -> list[str]:
        return [one["type"] for one in self.heard]

    def config(self, **more: Any) -> WebhookConfig:
        return WebhookConfig(url=self.url, secret=SECRET, **more)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/calls", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/calls"
    try:
        yield receiver
    finally:
        if receiver.wait is not None:
            receiver.wait.set()
        await runner.cleanup()
