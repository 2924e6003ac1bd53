"""A network between an agent and its gateway that can stall: connections stay open, and nothing gets through.

async with stalling_proxy(port_of_the_gateway) as network:
    network.stall()                  # all connections
    network.stall("/media/")         # those whose request began with this path
    network.resume()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["StallingProxy", "stalling_proxy"]

_HELD_BYTES = 8 << 20


class _Pipe(asyncio.Protocol):
    """One end of a connection through the proxy: what it reads goes to the other end."""

    def __init__(self, proxy: StallingProxy) -> None:
        self.proxy = proxy
        self.other: _Pipe | None = None
        self.path = ""
        self.waiting = bytearray()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.flush()

    def data_received(self, data: bytes) -> None:
        if self.other is not None:
            assert len(self.other.waiting) < _HELD_BYTES, "a stalled connection holds too much"
            self.other.waiting += data
            self.other.flush()

    def flush(self) -> None:
        """Send what waits, unless the network stalls."""
        if self.transport is not None and self.waiting and not self.proxy.stalls(self.path):
            self.transport.write(bytes(self.waiting))
            self.waiting.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self.proxy.pipes.discard(self)
        if self.other is not None and self.other.transport is not None and not self.proxy.stalls(self.path):
            self.other.transport.close()


class _FromAgent(_Pipe):
    def data_received(self, data: bytes) -> None:
        if not self.path:
            self.path = data.split(b" ", 2)[1].decode()
            assert self.other is not None
            self.other.path = self.path
        super().data_received(data)


class StallingProxy:
    """Connections to one port, passed on."""

    def __init__(self, gateway_port: int) -> None:
        self.pipes: set[_Pipe] = set()
        self.connecting: set[asyncio.Task[None]] = set()
        self.port = 0
        self._gateway_port = gateway_port
        self._stalled: str | None = None

    @property
    def url(self) -> str:
        """The address that the agent connects to."""
        return f"ws://127.0.0.1:{self.port}"

    def stalls(self, path: str) -> bool:
        """Return whether nothing gets through on a connection for this path now."""
        return self._stalled is not None and path.startswith(self._stalled)

    def stall(self, path: str = "") -> None:
        """Let nothing through any more, both ways."""
        self._stalled = path

    def resume(self) -> None:
        """Let everything through, what was held first."""
        self._stalled = None
        for pipe in list(self.pipes):
            pipe.flush()

    def accept(self) -> _Pipe:
        """Take a connection, and make one to the gateway."""
        near, far = _FromAgent(self), _Pipe(self)
        near.other, far.other = far, near
        self.pipes |= {near, far}
        task = asyncio.ensure_future(self._connect(far))
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)
        return near

    async def _connect(self, far: _Pipe) -> None:
        await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", self._gateway_port)


@asynccontextmanager
async def stalling_proxy(gateway_port: int) -> AsyncIterator[StallingProxy]:
    """Run the network on a free port of loopback."""
    proxy = StallingProxy(gateway_port)
    server = await asyncio.get_running_loop().create_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        if proxy.connecting:
            await asyncio.wait(set(proxy.connecting))
        for pipe in list(proxy.pipes):
            if pipe.transport is not None:
                pipe.transport.abort()
        await server.wait_closed()
