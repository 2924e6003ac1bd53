"""`TlsHandshake`: a connection to the port whose TLS handshake is under way, counted like any other.

asyncio's own TLS server makes the application's protocol when the handshake is complete, so connections that
never complete it would be counted by nobody: one address could take all open files of the process with them.
So the port listens in plain TCP, and the handshake begins here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from piopiy_pipeline.gateway.port.first_request import HEAD_S, Connections

__all__ = ["TlsHandshake"]

LOST_S = 1.0
"""So many seconds behind the limit of a handshake it is given up: neither loop ends one over a connection that was lost
just before it."""


class TlsHandshake(asyncio.Protocol):
    """A connection until its TLS handshake is complete. Then another protocol has it to itself.

    Args:
        context: The certificate and the settings of TLS.
        connections: Counts the connection.
        make_successor: Makes the protocol that is given the TLS transport.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        connections: Connections,
        make_successor: Callable[[], asyncio.Protocol],
    ) -> None:
        self._context = context
        self._connections = connections
        self._make_successor = make_successor
        self._early = bytearray()
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None]

    @property
    def is_waiting(self) -> bool:
        """Always: no request can have come."""
        return True

    def close_gracefully(self) -> None:
        """Close at once: there is nothing to finish."""
        self._transport.abort()

    # ------------------------------------------------------------------ asyncio's hooks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self._transport, self)
        if self._transport.is_closing():  # it was cut at once, and a handshake over it would never end
            self._connections.remove(self._transport)
            return
        self._task = asyncio.create_task(self._shake_hands(), name="TLS handshake")

    def data_received(self, data: bytes) -> None:
        """Keep what uvloop reads before the task has begun."""
        self._early += data

    # ------------------------------------------------------------------ within

    async def _shake_hands(self) -> None:
        loop = asyncio.get_running_loop()
        after = _AfterHandshake()
        starting = asyncio.create_task(self._start_tls(after))
        await asyncio.sleep(0)  # now its protocol is set, and told of the connection in the loop's next turn
        if self._early:
            loop.call_soon(self._pass_on_early)
        try:
            secure = await asyncio.wait_for(starting, HEAD_S + LOST_S)
        except (
            OSError
        ):  # among them ssl.SSLError and TimeoutError: whoever it is does not speak TLS, or is gone
            secure = None
        self._connections.remove(self._transport)
        if secure is None or self._transport.is_closing():  # uvloop ends the wait without an error
            self._transport.abort()
            return
        successor = self._make_successor()
        secure.set_protocol(successor)
        successor.connection_made(secure)
        if after.data:
            successor.data_received(bytes(after.data))
        if after.lost:
            successor.connection_lost(after.error)

    async def _start_tls(self, after: _AfterHandshake) -> asyncio.Transport | None:
        if self._transport.is_closing():  # it was cut in the turn before: the handshake would never end
            return None
        return await asyncio.get_running_loop().start_tls(
            self._transport, after, self._context, server_side=True, ssl_handshake_timeout=HEAD_S
        )

    def _pass_on_early(self) -> None:
        # Both loops' TLS protocol is one of buffers, and uvloop's does not derive from asyncio's class for those.
        protocol = cast(asyncio.BufferedProtocol, self._transport.get_protocol())
        early, self._early = memoryview(bytes(self._early)), bytearray()
        while early and not self._transport.is_closing():
            buffer = memoryview(protocol.get_buffer(len(early)))
            size = min(len(buffer), len(early))
            buffer[:size] = early[:size]
            protocol.buffer_updated(size)
            early = early[size:]


class _AfterHandshake(asyncio.Protocol):
    """Keeps what comes between the end of the handshake and the next turn of the loop."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.lost = False
        self.error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.error = True, exc
