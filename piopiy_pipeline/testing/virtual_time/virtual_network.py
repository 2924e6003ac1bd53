"""Connections within one virtual loop, for servers that a simulation brings along.

A socket would have the simulation run in real time, because nobody knows when an answer comes. Here both ends are in
the loop, and all that is under way is in its queue: a client and a server of any protocol over asyncio's streams
(websockets, aiohttp) talk as they do over TCP, in virtual time. Hosts of the reserved domain ``test`` (RFC 6761) are
reached so.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["VirtualNetwork", "is_virtual"]

HIGH_WATER = 256 * 1024
"""Bytes on the way from which on the writer is asked to wait."""
LOW_WATER = 64 * 1024

Factory = Callable[[], asyncio.BaseProtocol]


def is_virtual(host: object) -> bool:
    """Return whether a host is one of the simulation's own: its name ends in ``.test``."""
    return isinstance(host, str) and host.endswith(".test")


class VirtualNetwork:
    """The servers of one loop by host and port."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._servers: dict[tuple[str, int], _VirtualServer] = {}

    def listen(self, factory: Factory, host: str, port: int) -> asyncio.AbstractServer:
        """Serve connections to this host and port.

        Raises:
            OSError: Somebody does so already.
        """
        if (host, port) in self._servers:
            raise OSError(f"address already in use: {host}:{port}")
        server = self._servers[host, port] = _VirtualServer(
            self._loop, factory, lambda: self._servers.pop((host, port), None)
        )
        return server

    def connect(
        self, factory: Factory, host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        """Connect to a server of this loop.

        Raises:
            ConnectionRefusedError: There is none at this host and port.
        """
        server = self._servers.get((host, port))
        if server is None:
            raise ConnectionRefusedError(f"nobody serves {host}:{port} in this simulation")
        near, far = (
            _VirtualConnection(self._loop, (host, port)),
            _VirtualConnection(self._loop, ("client.test", 0)),
        )
        near.peer, far.peer = far, near
        far.begin(server.factory())
        protocol = factory()
        near.begin(protocol)
        return near, protocol


class _VirtualServer(asyncio.AbstractServer):
    """Stands for asyncio's server. What it has accepted goes on after its close, as with asyncio's."""

    sockets = ()

    def __init__(
        self, loop: asyncio.AbstractEventLoop, factory: Factory, leave: Callable[[], object]
    ) -> None:
        self.factory = factory
        self._loop = loop
        self._leave: Callable[[], object] | None = leave

    def close(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._leave is not None

    async def start_serving(self) -> None:
        """Do nothing: it serves from the beginning."""

    async def serve_forever(self) -> None:
        """Wait until it is cancelled: it serves from the beginning."""
        await asyncio.Event().wait()

    async def wait_closed(self) -> None:
        """Do nothing: nothing of it is under way."""


class _VirtualConnection(asyncio.Transport):
    """One end of a connection. What is written arrives at the other end in the loop's next turn."""

    peer: _VirtualConnection

    def __init__(self, loop: asyncio.AbstractEventLoop, other: tuple[str, int]) -> None:
        super().__init__({"peername": other, "sockname": ("in-process.test", 0)})
        self._loop = loop
        self._protocol: Any = None
        self._inbox: deque[bytes | None] = deque()  # None: the other end writes no more
        self._waiting = 0  # bytes in it
        self._due = False
        self._reading = True
        self._closing = self._lost = self._said_all = self._choked = False

    def begin(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol
        protocol.connection_made(self)
        self._schedule()

    # ------------------------------------------------------------------ what its protocol does

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol  # type: ignore[no-any-return]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if data and not (self._closing or self._said_all or self.peer._lost):
            self.peer._take(bytes(data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._said_all and not self.peer._lost:
            self._said_all = True
            self.peer._take(None)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.write_eof()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._closing = True
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(
            self.peer._lose, ConnectionResetError("the other end has dropped the connection")
        )

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True
        self._schedule()

    def get_write_buffer_size(self) -> int:
        return self.peer._waiting

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: the limits are those of this network."""

    # ------------------------------------------------------------------ what the other end does

    def _take(self, data: bytes | None) -> None:
        self._inbox.append(data)
        self._waiting += len(data or b"")
        if self._waiting > HIGH_WATER:
            self.peer._choke(True)
        self._schedule()

    def _choke(self, choked: bool) -> None:
        if choked != self._choked and not self._lost:
            self._choked = choked
            (self._protocol.pause_writing if choked else self._protocol.resume_writing)()

    def _schedule(self) -> None:
        if self._inbox and not self._due and self._protocol is not None:
            self._due = True
            self._loop.call_soon(self._deliver)

    def _deliver(self) -> None:
        self._due = False
        if self._lost or not self._reading or not self._inbox:
            return
        data = self._inbox.popleft()
        self._waiting -= len(data or b"")
        if self._waiting <= LOW_WATER:
            self.peer._choke(False)
        if data is not None:
            self._protocol.data_received(data)
        elif not self._protocol.eof_received():
            self.close()
        self._schedule()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._inbox.clear()
            self._waiting = 0
            self.peer._choke(False)
            self._protocol.connection_lost(error)
