"""One socket each: datagrams, and a connection over which messages come one behind the other.

They cut what comes into messages and carry out what they are told; whoever owns them decides.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, cast

from loguru import logger

from piopiy_pipeline.gateway.sip.framing import Framer, FramingError
from piopiy_pipeline.gateway.sip.message import Flow, Transport

__all__ = ["Datagrams", "Owner", "Stream"]

FIRST_MESSAGE_S = 30.0
_MAX_UNSENT_BYTES = 256 * 1024


class Owner(Protocol):
    """Whose sockets they are."""

    def received(self, data: bytes, source: Flow) -> None:
        """A message came."""

    def stream_opened(self, stream: Stream, flow: Flow) -> bool:
        """A connection is there. False: there are too many."""

    def stream_closed(self, stream: Stream, flow: Flow) -> None:
        """A connection is gone."""


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, owner: Owner) -> None:
        self._owner = owner

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._owner.received(data, Flow("udp", addr[0].partition("%")[0], addr[1]))

    def error_received(self, exc: Exception) -> None:
        logger.debug("sip: a datagram was not delivered: {}", exc)


class Stream(asyncio.Protocol):
    """One connection. `wanted` is whom we connected to; None: somebody connected to us."""

    def __init__(self, owner: Owner, kind: Transport, wanted: Flow | None = None) -> None:
        self._owner, self._kind = owner, kind
        self._framer = Framer()
        self._transport: asyncio.Transport | None = None
        self._flow = wanted or Flow(kind, "", 0)
        self._ours = wanted is not None
        self._deadline: float | None = None
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if not self._ours:
            peer = transport.get_extra_info("peername")
            self._flow = Flow(self._kind, peer[0].partition("%")[0], peer[1])
            self._deadline = self._loop.time() + FIRST_MESSAGE_S
        if not self._owner.stream_opened(self, self._flow):
            self.abort()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except FramingError as error:
            logger.debug("sip: {} closed: {}", self._flow, error)
            self.abort()
            return
        if messages or self._framer.pings:
            self._deadline = None
        for _ in range(min(self._framer.pings, 4)):
            self.send(b"\r\n")
        self._framer.pings = 0
        if self._framer.waiting and self._deadline is None:
            self._deadline = self._loop.time() + FIRST_MESSAGE_S
        for message in messages:
            self._owner.received(message, self._flow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.stream_closed(self, self._flow)
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
