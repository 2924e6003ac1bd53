"""The sockets of SIP: datagrams, and connections over which messages come one after the other.

They divide what comes into messages and send what they are given. What a message means is decided elsewhere.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from loguru import logger

from piopiy_pipeline.gateway.access.networks import canonical_host, client_network
from piopiy_pipeline.gateway.sip.syntax.flow import Flow, Transport
from piopiy_pipeline.gateway.sip.syntax.framing import Framer, FramingError

__all__ = ["ConnectionTable", "FairReader", "SipConnection", "SipDatagrams"]

FIRST_MESSAGE_S = 30.0
"""How long a connection may take for a whole message."""
_MAX_UNSENT_BYTES = 256 * 1024
_MESSAGES_A_ROUND = 8

Receive = Callable[[bytes, Flow], None]
"""Called with a message and where it came from."""


class FairReader:
    """Passes on the messages of all connections in turn, one of each, and only so many in one round of the
    loop.

    A single read may bring hundreds of messages; handled all at once, they would delay the audio of all
    calls.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[SipConnection] = deque()
        self._planned = False

    def join(self, connection: SipConnection) -> None:
        """Take part in the turns until no message of this connection waits."""
        self._waiting.append(connection)
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        try:
            for _ in range(min(_MESSAGES_A_ROUND, len(self._waiting))):
                connection = self._waiting.popleft()
                message, last = connection.next_message()
                if not last:
                    self._waiting.append(connection)
                self._receive(message, connection.flow)
        finally:
            self._planned = bool(self._waiting)
            if self._planned:
                self._loop.call_soon(self._round)


class ConnectionTable:
    """All connections by their flow, within the limits of the configuration.

    Args:
        receive: Called with each message of a connection.
        most: How many connections there may be; a quarter of them from one address (or IPv6
            network) that is not trusted.
        trusts: Tells whether connections from an address count as a trunk's.
        on_refused: Called when a connection was refused because of the limits.
    """

    def __init__(
        self,
        receive: Receive,
        *,
        most: int,
        trusts: Callable[[str], bool],
        on_refused: Callable[[], None],
    ) -> None:
        self.reader = FairReader(receive)
        self._most = most
        self._trusts = trusts
        self._on_refused = on_refused
        self._connections: dict[Flow, SipConnection] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._connections)

    def get(self, flow: Flow) -> SipConnection | None:
        """Return the connection of this flow, if there is one."""
        return self._connections.get(flow)

    def opened(self, connection: SipConnection) -> bool:
        """Keep a new connection. Returns False when there are too many, or too many from its address."""
        host = connection.flow.host
        full = self._closed or len(self._connections) >= self._most
        if not full and not connection.ours and not self._trusts(host):
            network = client_network(host)
            same = sum(client_network(flow.host) == network for flow in self._connections)
            full = same >= max(1, self._most // 4)
        if full:
            self._on_refused()
            return False
        self._connections[connection.flow] = connection
        return True

    def lost(self, connection: SipConnection) -> None:
        """Forget a connection that was lost."""
        if self._connections.get(connection.flow) is connection:
            del self._connections[connection.flow]

    def check(self, now: float) -> None:
        """Close the connections whose message never becomes whole, and those on which none ever came."""
        for connection in list(self._connections.values()):
            connection.check(now)

    async def close(self, timeout_s: float) -> None:
        """Close all connections, and abort those that are not closed within the timeout."""
        self._closed = True
        connections = list(self._connections.values())
        for connection in connections:
            connection.close()
        if connections:
            await asyncio.wait([connection.gone for connection in connections], timeout=timeout_s)
        for connection in connections:
            connection.abort()


class SipDatagrams(asyncio.DatagramProtocol):
    """The UDP socket. `receive` is called with each datagram."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._receive(data, Flow("udp", canonical_host(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        logger.debug("sip: a datagram was not delivered: {}", exc)


class SipConnection(asyncio.Protocol):
    """One TCP or TLS connection, which divides what it reads into messages.

    Args:
        table: Keeps this connection while it lasts.
        kind: The transport.
        wanted: Where we connected to; None: the other side connected to us.
    """

    def __init__(self, table: ConnectionTable, kind: Transport, wanted: Flow | None = None) -> None:
        self._table, self._kind = table, kind
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self.flow = wanted or Flow(kind, "", 0)
        """The address of the other side."""
        self.ours = wanted is not None
        """Whether we have opened the connection, and not the peer."""
        self._messages: deque[bytes] = deque()
        self._deadline: float | None = None
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        """Done when the connection is closed."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self.ours:
            peer = transport.get_extra_info("peername")
            self.flow = Flow(self._kind, canonical_host(peer[0]), peer[1])
            self._deadline = self._loop.time() + FIRST_MESSAGE_S
        if not self._table.opened(self):
            self.abort()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except FramingError as error:
            logger.debug("sip: {} closed: {}", self.flow, error)
            self.abort()
            return
        if messages or self._framer.pings:
            self._deadline = None
        for _ in range(min(self._framer.pings, 4)):
            self.send(b"\r\n")
        self._framer.pings = 0
        if self._framer.waiting and self._deadline is None:
            self._deadline = self._loop.time() + FIRST_MESSAGE_S
        if messages:
            if not self._messages:
                self._table.reader.join(self)
            self._messages += messages
            if len(self._messages) > 1 and self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def next_message(self) -> tuple[bytes, bool]:
        """Take the next message; the second value says whether it was the last one that waits."""
        message = self._messages.popleft()
        if not self._messages and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return message, not self._messages

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.lost(self)
        if not self.gone.done():
            self.gone.set_result(None)

    def send(self, data: bytes) -> None:
        """Send a message. A peer that does not read what it is sent is disconnected."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.abort()
        else:
            self._transport.write(data)

    def check(self, now: float) -> None:
        """Abort the connection when a whole message has been awaited for too long. `now` is in seconds."""
        if self._deadline is not None and now > self._deadline:
            self.abort()

    def close(self) -> None:
        """Close the connection when everything is sent."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once, without sending what waits."""
        if self._transport is not None:
            self._transport.abort()
