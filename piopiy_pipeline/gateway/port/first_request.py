"""The first request of a connection to the gateway's one port decides what it becomes: a WebSocket or plain HTTP.

Media streams need websockets' own connection, which parses nothing but its handshake; the API and the console
need a whole HTTP server. A `FirstRequest` reads the head of the first request and hands the connection to one of
the two, which from then on has it to itself.

`Connections` counts all connections, from the moment that TCP is up until they are gone. When there are
too many, whoever holds the most of those without a key loses one, so that one address cannot shut out all others.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from loguru import logger

from piopiy_pipeline.gateway.access.networks import client_network

__all__ = [
    "HEAD_LIMIT",
    "HEAD_S",
    "Connections",
    "FirstRequest",
    "OpenConnection",
    "OpenHttp",
    "http_answer",
    "is_websocket",
]

HEAD_LIMIT = 16 << 10
"""How many bytes the head of a request may have."""
HEAD_S = 10.0
"""How long a client may take to send it."""
LOG_EVERY_S = 10.0
"""How often the log tells that connections are cut."""
LINGER_S = 2.0
"""How long a client that was refused may take to close."""

OpenHttp = Callable[[Callable[[], asyncio.Protocol]], asyncio.Protocol]
"""Makes the protocol of a connection that speaks plain HTTP, given what makes that of a WebSocket."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class OpenConnection(Protocol):
    """A connection of the gateway, whatever it has become."""

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for a request, so that cutting it takes nothing from anybody."""

    def close_gracefully(self) -> None:
        """Finish what is in progress and close, without waiting: the gateway shuts down."""


class Connections:
    """All connections of a gateway, within a limit.

    A connection that has shown a valid key stays as long as it likes. The others share what is left. When there
    is one too many, the network that has the most of them loses one: the oldest that waits for its request, else the
    oldest. So an address that opens thousands can use what nobody else needs, and no more. Nobody has to be
    trusted for this: a proxy, through which everybody comes, has as many as it needs.

    Args:
        limit: How many there may be at a time.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[asyncio.BaseTransport, OpenConnection] = {}
        self._without_key: dict[str, dict[asyncio.BaseTransport, None]] = {}  # by network, the oldest first
        self._networks: dict[asyncio.BaseTransport, str] = {}  # of those without a key
        self._cut = 0
        self._log_at = 0.0
        self._closing = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, transport: asyncio.Transport, connection: OpenConnection) -> None:
        """Count a new connection. One is cut if there are too many, and this one if the gateway closes."""
        self._open[transport] = connection
        network = self._networks[transport] = _network(transport)
        self._without_key.setdefault(network, {})[transport] = None
        if self._closing:
            transport.abort()
        elif len(self._open) > self.limit:
            self._cut_one()

    def hand_over(self, transport: asyncio.Transport, connection: OpenConnection) -> None:
        """Note that the transport belongs to this connection from now on."""
        self._open[transport] = connection

    def admit(self, transport: asyncio.BaseTransport) -> None:
        """Note that this connection has shown a valid key, so that it is not cut to make room for another."""
        network = self._networks.pop(transport, None)
        if network is not None:
            transports = self._without_key[network]
            del transports[transport]
            if not transports:
                del self._without_key[network]

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """Forget a connection that was lost or has ended."""
        self._open.pop(transport, None)
        self.admit(transport)
        if self._closing and not self._open:
            self._empty.set()

    def _cut_one(self) -> None:
        network, transports = max(self._without_key.items(), key=lambda item: len(item[1]))
        waiting = (transport for transport in transports if self._open[transport].is_waiting)
        chosen = next(waiting, next(iter(transports)))
        self._cut += 1
        now = asyncio.get_running_loop().time()
        if now >= self._log_at:
            self._log_at = now + LOG_EVERY_S
            logger.warning(
                "more than {} connections: {} had {} without a key, and lost one ({} were cut so far)",
                self.limit,
                network or "an unknown address",
                len(transports),
                self._cut,
            )
        self.admit(chosen)  # it is not counted again until it is gone
        cast(asyncio.Transport, chosen).abort()

    def close_all(self) -> None:
        """Let all of them finish, and take no new ones."""
        self._closing = True
        if not self._open:
            self._empty.set()
        for connection in tuple(self._open.values()):
            connection.close_gracefully()

    def abort_all(self) -> None:
        """Cut all connections that are left."""
        for transport in tuple(self._open):
            cast(asyncio.Transport, transport).abort()

    async def wait_closed(self) -> None:
        """Wait until no connection is left, after `close_all`."""
        await self._empty.wait()


class FirstRequest(asyncio.Protocol):
    """A connection whose first request has not come yet.

    The protocol that takes over is given the transport and all bytes that were read, as if it had been there
    from the beginning.

    Args:
        connections: Counts the connection.
        open_websocket: Makes the protocol that is handed a WebSocket handshake.
        open_http: Makes the protocol that is handed any other request. It is given `open_websocket`, for a handshake
            that comes later on the same connection.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        open_websocket: Callable[[], asyncio.Protocol],
        open_http: OpenHttp,
    ) -> None:
        self._connections = connections
        self._open_websocket = open_websocket
        self._open_http = open_http
        self._transport: asyncio.Transport
        self._head = bytearray()
        self._timer: asyncio.TimerHandle
        self._done = False

    @property
    def is_waiting(self) -> bool:
        """Always: it is one as long as its request is not there."""
        return True

    # ------------------------------------------------------------------ asyncio's hooks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEAD_S, self._too_slow)
        self._connections.add(self._transport, self)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        searched = max(0, len(self._head) - 3)
        self._head += data
        end = _END_OF_HEAD.search(self._head, searched)
        if (end.start() if end else len(self._head)) > HEAD_LIMIT:
            self._answer(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of a request may have {HEAD_LIMIT} bytes",
            )
        elif end:
            head = bytes(self._head[: end.start()])
            is_one = is_websocket(head)
            self._hand_over(self._open_websocket() if is_one else self._open_http(self._open_websocket))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._connections.remove(self._transport)

    def _hand_over(self, successor: asyncio.Protocol) -> None:
        self._stop()
        transport, head = self._transport, bytes(self._head)
        self._head.clear()
        transport.set_protocol(successor)
        successor.connection_made(transport)
        successor.data_received(head)

    # ------------------------------------------------------------------ refusals

    def _too_slow(self) -> None:
        if self._head:
            self._answer(
                HTTPStatus.REQUEST_TIMEOUT, f"the head of the request did not come within {HEAD_S:g} s"
            )
        else:
            self._stop()
            self._transport.abort()

    def _answer(self, status: HTTPStatus, text: str) -> None:
        self._stop()
        self._transport.write(http_answer(status, text))
        if not self._transport.can_write_eof():  # over TLS
            self._transport.close()
            return
        # Closing while the client still sends would be a reset, and could take the answer with it.
        self._transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def close_gracefully(self) -> None:
        """Close at once: no request is in progress here."""
        self._stop()
        self._transport.close()

    def _stop(self) -> None:
        self._done = True
        self._timer.cancel()


def _network(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return client_network(peer[0] if isinstance(peer, tuple) else None)


def is_websocket(head: bytes) -> bool:
    """Return whether this head of a request (without its empty line) asks for a WebSocket."""
    lines = head.split(b"\n")
    if not lines[0].startswith(b"GET "):
        return False
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"upgrade" and b"websocket" in value.lower():
            return True
    return False


def http_answer(status: HTTPStatus, text: str) -> bytes:
    """Return a whole answer to a refused request, as a `Problem` in JSON; the connection is closed after it."""
    body = json.dumps({"error": text}).encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
