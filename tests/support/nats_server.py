"""A NATS server of Debian's, on ports of its own, which a test may kill, freeze and start again."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any

import httpx
import pytest

from tests.support.gateway_process import free_port

__all__ = ["NatsServer", "nats_server", "needs_nats"]

NATS_SERVER = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin:/usr/local/bin")
needs_nats = pytest.mark.skipif(
    NATS_SERVER is None or find_spec("nats") is None,
    reason="needs nats-server (apt-get install nats-server) and its client (pip install nats-py)",
)


class NatsServer:
    """One server.

    Args:
        more: Further arguments.
        host: The address that it listens on.
    """

    def __init__(self, *more: str, host: str = "127.0.0.1") -> None:
        self.host = host
        self.port, self.monitor_port = free_port(), free_port()
        self.more = more
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"nats://{self.host}:{self.port}"

    async def start(self) -> None:
        assert NATS_SERVER is not None
        self._process = await asyncio.create_subprocess_exec(
            *(NATS_SERVER, "-a", self.host, "-p", str(self.port), "-m", str(self.monitor_port)),
            *self.more,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(20):
            while True:
                with suppress(httpx.TransportError):
                    await self.counts()
                    break
                await asyncio.sleep(0.02)

    def reload(self) -> None:
        """Have it read its settings again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    async def counts(self) -> dict[str, Any]:
        """Return what the server says of itself: messages, bytes, connections."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            answer = await client.get(f"http://{self.host}:{self.monitor_port}/varz")
            counted: dict[str, Any] = answer.json()
            return counted

    async def bytes_carried(self) -> int:
        counted = await self.counts()
        return int(counted["in_bytes"]) + int(counted["out_bytes"])

    async def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
            await self._process.wait()


@asynccontextmanager
async def nats_server(*more: str) -> AsyncIterator[NatsServer]:
    """Run a server."""
    server = NatsServer(*more)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()
