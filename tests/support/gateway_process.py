"""A real gateway as a process of its own, which a test may kill and start again on the same data."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx

from piopiy_pipeline.gateway import Gateway
from tests.support.gateway_peers import AGENT_ID, AGENT_TOKEN, CALLER_KEY, bearer
from tests.support.programs import Program

__all__ = ["API_KEY", "api", "at_port", "free_port", "gateway_process"]

API_KEY = "api-key"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def at_port(port: int) -> Gateway:
    """What `gateway_peers.agent` and `caller` want to know of a gateway."""
    return cast(Gateway, SimpleNamespace(url=f"ws://127.0.0.1:{port}"))


def api(port: int) -> httpx.AsyncClient:
    """An operator's client."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}",
        headers=bearer(API_KEY),
        trust_env=False,
        verify=False,
        timeout=20,
    )


@asynccontextmanager
async def gateway_process(folder: Path, port: int, **more: Any) -> AsyncIterator[Program]:
    """A real gateway whose records are open; it is killed at the end, if it was not before.

    Args:
        folder: Its data folder.
        port: Its port.
        more: Further settings.
    """
    settings: dict[str, Any] = {
        "port": port,
        "agents": {AGENT_ID: AGENT_TOKEN},
        "caller_keys": [CALLER_KEY],
        "api_keys": [API_KEY],
        "offer_ms": 5000,
        "callers_may_watch": True,
        "data_folder": str(folder),
        "record": True,
        "webrtc_workers": 0,
        "token_secret": "the-same-at-all-gateways",
    } | more
    env = {
        f"PIOPIY_GATEWAY_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    process = await Program.start(
        *("-m", "piopiy_pipeline.cli", "gateway"), environment={**os.environ, **env}, stderr=False
    )
    try:
        async with asyncio.timeout(60):
            while not (line := await process.stdout.readline()).startswith(b"console"):
                assert line, "the gateway did not start"
            async with api(port) as web:
                while (await web.get("/api/calls")).status_code == 503:
                    continue  # it has waited for the database before it said so
        yield process
    finally:
        await process.close()
