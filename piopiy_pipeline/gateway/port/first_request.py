"""The first request of a connection to the gateway's one port decides what it becomes: a WebSocket or plain HTTP.

Media streams need websockets' own connection, which parses nothing but its handshake; the API and the console
need a whole HTTP server. A `FirstRequest` reads the head of the first request and hands the connection to one of
the two, which from then on has it to itself.

`Connections` counts all connections, from the moment that TCP (or TLS) is up until they are gone.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol, cast

from loguru import logger

__all__ = [
    "HEAD_LIMIT",
    "HEAD_S",
    "Connections",
    "FirstRequest",
    "OpenConnection",
    "http_answer",
    "is_websocket",
]

HEAD_LIMIT = 16 << 10
"""How many bytes the head of a request may have."""
HEAD_S = 10.0
"""How long a client may take to send it."""
LINGER_S = 2.0
"""How long a client that was refused may take to close."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class OpenConnection(Protocol):
    """A connection of the gateway, whatever it has become."""

    def close_gracefully(self) -> None:
        """Finish what is in progress and close, without waiting: the gateway shuts down."""


class Connections:
    """All connections of a gateway.

    Args:
        limit: How many there may be at a time. One more is cut.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[asyncio.BaseTransport, OpenConnection] = {}
        self._closing = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, transport: asyncio.Transport, connection: OpenConnection) -> None:
        """Count this connection. It is cut if there are too many, or if the gateway closes."""
        self._open[transport] = connection
        if self._closing:
            transport.abort()
        elif len(self._open) > self.limit:
            logger.warning("more than {} connections: one was cut", self.limit)
            transport.abort()

    def hand_over(self, transport: asyncio.Transport, connection: OpenConnection) -> None:
        """The transport belongs to this connection from now on."""
        self._open[transport] = connection

    def remove(self, transport: asyncio.BaseTransport) -> None:
        """The connection is gone."""
        self._open.pop(transport, None)
        if self._closing and not self._open:
            self._empty.set()

    def close_all(self) -> None:
        """Let all of them finish, and take no new ones."""
        self._closing = True
        if not self._open:
            self._empty.set()
        for connection in tuple(self._open.values()):
            connection.close_gracefully()

    def abort_all(self) -> None:
        """Cut all that are left."""
        for transport in tuple(self._open):
            cast(asyncio.Transport, transport).abort()

    async def wait_closed(self) -> None:
        """After `close_all`: wait until none is left."""
        await self._empty.wait()


class FirstRequest(asyncio.Protocol):
    """A connection whose first request has not come yet.

    The protocol that takes over is given the transport and all bytes that were read, as if it had been there
    from the beginning.

    Args:
        connections: Counts the connection.
        open_websocket: Makes the protocol that is handed a WebSocket handshake.
        open_http: Makes the protocol that is handed any other request.
    """

    def __init__(
        self,
        *,
        connections: Connections,
        open_websocket: Callable[[], asyncio.Protocol],
        open_http: Callable[[], asyncio.Protocol],
    ) -> None:
        self._connections = connections
        self._open_websocket = open_websocket
        self._open_http = open_http
        self._transport: asyncio.Transport
        self._head = bytearray()
        self._timer: asyncio.TimerHandle
        self._done = False

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
            self._hand_over(self._open_websocket() if is_websocket(head) else self._open_http())

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


def is_websocket(head: bytes) -> bool:
    """Whether this head of a request (without its empty line) asks for a WebSocket."""
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
