"""The door of the gateway's one port: WebSocket or plain HTTP is told by a connection's first request.

Media streams need websockets' own connection, which parses nothing but its handshake; the API and the
console need a whole HTTP server, which takes half a second to load. A `FirstRequest` reads the head of the
first request and hands the connection to one of the two, which from then on has it to itself. It
answers ``/healthz`` by itself, so that whoever watches the gateway need not wait for anything.

All connections are counted in one `Connections`, from the moment that TCP (or TLS) is up until they are gone.
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
    "Site",
    "http_answer",
    "is_websocket",
]

HEAD_LIMIT = 16 << 10
"""How many bytes the head of a request may have."""
HEAD_S = 10.0
"""How long a client may take to send it."""
SITE_S = 20.0
"""How long a request waits for the API to be loaded: it takes one second, on a busy machine some."""
LINGER_S = 2.0
"""How long a client that was refused may take to close."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class OpenConnection(Protocol):
    """A connection, in whatever state it is."""

    def go_away(self) -> None:
        """The gateway closes: finish, without waiting."""


class Connections:
    """All connections of a gateway, and no more of them than `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._guests: dict[asyncio.BaseTransport, OpenConnection] = {}
        self._closing = False
        self._empty = asyncio.Event()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, transport: asyncio.Transport, guest: OpenConnection) -> None:
        """Count this connection, or cut it: it is one too many, or comes too late."""
        self._guests[transport] = guest
        if self._closing:
            transport.abort()
        elif len(self._guests) > self.limit:
            logger.warning("more than {} connections: one was cut", self.limit)
            transport.abort()

    def hand_over(self, transport: asyncio.Transport, guest: OpenConnection) -> None:
        """The connection is this guest's from now on."""
        self._guests[transport] = guest

    def leave(self, transport: asyncio.BaseTransport) -> None:
        """The connection is gone."""
        self._guests.pop(transport, None)
        if self._closing and not self._guests:
            self._empty.set()

    def go_away(self) -> None:
        """Have all of them finish, and let nobody in."""
        self._closing = True
        if not self._guests:
            self._empty.set()
        for guest in tuple(self._guests.values()):
            guest.go_away()

    def cut(self) -> None:
        """Cut all that are left."""
        for transport in tuple(self._guests):
            cast(asyncio.Transport, transport).abort()

    async def gone(self) -> None:
        """After `go_away`: wait until nobody is left."""
        await self._empty.wait()


class Site(Protocol):
    """The HTTP server behind the door, which may still have to be loaded."""

    @property
    def loaded(self) -> asyncio.Future[None]:
        """Done when `connect` works; an exception if it never will."""

    def connect(self) -> asyncio.Protocol:
        """A protocol for one more connection, which is in the crowd already."""


class FirstRequest(asyncio.Protocol):
    """A connection whose first request has not come yet.

    `open_socket` makes the protocol that is handed a WebSocket handshake; both successors are given
    the transport and all bytes that were read, as if they had been there from the beginning.
    """

    def __init__(
        self, *, crowd: Connections, site: Site, open_socket: Callable[[], asyncio.Protocol], greeting: str
    ) -> None:
        self._crowd = crowd
        self._site = site
        self._open_socket = open_socket
        self._greeting = greeting
        self._transport: asyncio.Transport
        self._head = bytearray()
        self._timer: asyncio.TimerHandle
        self._waiting = False  # for the site
        self._done = False

    # ------------------------------------------------------------------ asyncio's hooks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HEAD_S, self._too_slow)
        self._crowd.enter(self._transport, self)

    def data_received(self, data: bytes) -> None:
        if self._done:
            return
        searched = max(0, len(self._head) - 3)
        self._head += data
        if self._waiting:  # reading was paused, and this came before that
            return
        end = _END_OF_HEAD.search(self._head, searched)
        if (end.start() if end else len(self._head)) > HEAD_LIMIT:
            self._answer(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the head of a request may have {HEAD_LIMIT} bytes",
            )
        elif end:
            self._let_in(bytes(self._head[: end.start()]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self._crowd.leave(self._transport)

    # ------------------------------------------------------------------ where to

    def _let_in(self, head: bytes) -> None:
        method, path = _first_line(head)
        if is_websocket(head):
            self._hand_over(self._open_socket())
        elif method in ("GET", "HEAD") and path == "/healthz":
            self._answer(HTTPStatus.OK, self._greeting, with_body=method == "GET")
        elif self._site.loaded.done():
            self._enter_site()
        else:
            self._waiting = True
            self._transport.pause_reading()
            self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(SITE_S, self._no_site)
            self._site.loaded.add_done_callback(self._site_loaded)

    def _site_loaded(self, _: asyncio.Future[None]) -> None:
        if not self._done and not self._transport.is_closing():
            self._transport.resume_reading()
            self._enter_site()

    def _enter_site(self) -> None:
        loaded = self._site.loaded
        if loaded.cancelled() or loaded.exception() is not None:
            self._no_site()
        else:
            self._hand_over(self._site.connect())

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

    def _no_site(self) -> None:
        text = "the gateway's HTTP side is not there: its log says why, if it was not just started"
        self._answer(HTTPStatus.SERVICE_UNAVAILABLE, text)

    def _answer(self, status: HTTPStatus, text: str, *, with_body: bool = True) -> None:
        self._stop()
        self._transport.write(http_answer(status, text, with_body=with_body))
        if not self._transport.can_write_eof():  # over TLS
            self._transport.close()
            return
        # Closing while the client still sends would be a reset, and could take the answer with it.
        self._transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(LINGER_S, self._transport.abort)

    def go_away(self) -> None:
        """The gateway closes: no request is in progress here."""
        self._stop()
        self._transport.close()

    def _stop(self) -> None:
        self._done = True
        self._timer.cancel()
        self._site.loaded.remove_done_callback(self._site_loaded)


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


def http_answer(status: HTTPStatus, text: str, *, with_body: bool = True) -> bytes:
    """A whole answer, after which the connection is closed: plain text, or for an error a `Problem`."""
    if status >= HTTPStatus.BAD_REQUEST:
        body, kind = json.dumps({"error": text}).encode(), "application/json"
    else:
        body, kind = text.encode(), "text/plain; charset=utf-8"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (body if with_body else b"")


def _first_line(head: bytes) -> tuple[str, str]:
    """Method and path of a request, empty where there are none."""
    words = head.split(b"\n", 1)[0].decode("latin-1").split()
    if len(words) != 3:
        return "", ""
    return words[0], words[1].partition("?")[0]
