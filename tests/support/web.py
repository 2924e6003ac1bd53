"""Clients of the gateway's HTTP side over real sockets, with which its tests are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx

from piopiy_pipeline.gateway import Gateway

__all__ = ["API_KEY", "RawClient", "client", "raw"]

API_KEY = "operator-key"


@asynccontextmanager
async def client(
    gateway: Gateway, *, key: str | None = API_KEY, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield an HTTP client at the gateway's address; with `key`, an operator's."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    # To read the certificates of the world's authorities, which are not needed here, takes 20 ms of a processor.
    settings = {"verify": False, "timeout": 30, "trust_env": False, **settings}
    async with httpx.AsyncClient(base_url=gateway.console_url, headers=headers, **settings) as one:
        yield one


class RawClient:
    """A TCP connection on which a test says what no library would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def hear(self, limit: int = 1 << 20) -> bytes:
        """Return everything that comes until the gateway closes. A connection that was cut says nothing more."""
        heard = b""
        async with asyncio.timeout(20):
            with suppress(ConnectionError):
                while data := await self.reader.read(65536):
                    heard += data
                    assert len(heard) <= limit
        return heard

    async def answer(self) -> tuple[int, bytes]:
        """Return one answer with a Content-Length: its status and body."""
        async with asyncio.timeout(20):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1])
                for line in head.lower().splitlines()
                if line.startswith(b"content-length")
            )
            return int(head.split()[1]), await self.reader.readexactly(length)


@asynccontextmanager
async def raw(gateway: Gateway) -> AsyncIterator[RawClient]:
    """Open a connection to the gateway's port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
