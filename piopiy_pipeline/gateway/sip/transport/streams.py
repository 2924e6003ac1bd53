"""One socket each: datagrams, and a connection over which messages come one behind the other.

They cut what comes into messages and carry out what they are told; whoever owns them decides.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from loguru import logger

from piopiy_pipeline.gateway.access.networks import canonical_host
from piopiy_pipeline.gateway.sip.syntax.framing import Framer, FramingError
from piopiy_pipeline.gateway.sip.syntax.message import Flow, Transport

__all__ = ["FairReader", "SipConnection", "SipDatagrams", "SocketOwner"]

FIRST_MESSAGE_S = 30.0
_MAX_UNSENT_BYTES = 256 * 1024
_MESSAGES_A_ROUND = 8


class SocketOwner(Protocol):
    """Whose sockets they are."""

    turns: FairReader
    """By which the messages of connections are received."""

    def received(self, data: bytes, source: Flow) -> None:
        """A message came."""

    def stream_opened(self, stream: SipConnection, flow: Flow) -> bool:
        """A connection is there. False: there are too many."""

    def stream_closed(self, stream: SipConnection, flow: Flow) -> None:
        """A connection is gone."""


class FairReader:
    """Messages of all connections, one of each in turn, and only so many in one round of the loop.

    A read may bring hundreds; taken all at once, they would hold up the voices of all calls.
    """

    def __init__(self, receive: Callable[[bytes, Flow], None]) -> None:
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[SipConnection] = deque()
        self._planned = False

    def join(self, stream: SipConnection) -> None:
        """Its messages wait from now on, until there are none left."""
        self._waiting.append(stream)
        if not self._planned:
            self._planned = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        try:
            for _ in range(min(_MESSAGES_A_ROUND, len(self._waiting))):
                stream = self._waiting.popleft()
                message, last = stream.next_message()
                if not last:
                    self._waiting.append(stream)
                self._receive(message, stream.flow)
        finally:
            self._planned = bool(self._waiting)
            if self._planned:
                self._loop.call_soon(self._round)


class SipDatagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: SocketOwner) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._owner.received(data, Flow("udp", canonical_host(addr[0]), addr[1]))

    def error_received(self, exc: Exception) -> None:
        logger.debug("sip: a datagram was not delivered: {}", exc)


class SipConnection(asyncio.Protocol):
    """One connection. `wanted` is whom we connected to; None: somebody connected to us."""

    def __init__(self, owner: SocketOwner, kind: Transport, wanted: Flow | None = None) -> None:
        self._owner, self._kind = owner, kind
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self.flow = wanted or Flow(kind, "", 0)
        self.ours = wanted is not None
        """Whether we connected."""
        self._messages: deque[bytes] = deque()
        self._deadline: float | None = None
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self.ours:
            peer = transport.get_extra_info("peername")
            self.flow = Flow(self._kind, canonical_host(peer[0]), peer[1])
            self._deadline = self._loop.time() + FIRST_MESSAGE_S
        if not self._owner.stream_opened(self, self.flow):
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
                self._owner.turns.join(self)
            self._messages += messages
            if len(self._messages) > 1 and self._transport is not None and not self._transport.is_closing():
                self._transport.pause_reading()

    def next_message(self) -> tuple[bytes, bool]:
        """The message whose turn it is, and whether it is the last that waits."""
        message = self._messages.popleft()
        if not self._messages and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()
        return message, not self._messages

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.stream_closed(self, self.flow)
        if not self.gone.done():
            self.gone.set_result(None)

    def send(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.abort()  # whoever does not read is gone
        else:
            self._transport.write(data)

    def check(self, now: float) -> None:
        if self._deadline is not None and now > self._deadline:
            self.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
