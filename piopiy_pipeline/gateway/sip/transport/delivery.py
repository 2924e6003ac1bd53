"""Delivers outgoing messages: it resolves a name and opens a connection first if that is needed.

Its tests are those of the endpoint: `tests/gateway/sip/transport/test_endpoint.py`.

Source: RFC 3261, section 18.1.1.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.gateway.access.networks import socket_host
from piopiy_pipeline.gateway.sip.syntax.flow import Flow
from piopiy_pipeline.gateway.sip.transaction.transaction_layer import OutgoingMessage
from piopiy_pipeline.gateway.sip.transport.addresses import SipAddresses
from piopiy_pipeline.gateway.sip.transport.streams import ConnectionTable, SipConnection

__all__ = ["MessageDelivery"]

_CONNECT_S = 5.0
_MAX_WAITING = 64  # messages for a connection or a name that is not there yet


class MessageDelivery:
    """Sends messages by the UDP socket or a connection.

    Args:
        connections: The connections that there are.
        addresses: Resolves names.
        on_undelivered: Called with a message that could not be sent.
        on_done: Called when messages that had to wait were sent or given up.
    """

    def __init__(
        self,
        connections: ConnectionTable,
        addresses: SipAddresses,
        *,
        on_undelivered: Callable[[OutgoingMessage], None],
        on_done: Callable[[], None],
    ) -> None:
        self.udp: asyncio.DatagramTransport | None = None
        """The UDP socket; None: there is none."""
        self._connections, self._addresses = connections, addresses
        self._on_undelivered, self._on_done = on_undelivered, on_done
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[Flow, list[OutgoingMessage]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, message: OutgoingMessage) -> None:
        """Send a message, at once where that is possible. It never waits."""
        flow = message.flow
        connection = self._connections.get(flow)
        if connection is not None:
            connection.send(message.data)
            return
        address = self._addresses.known(flow.host, self._loop.time())
        if address is not None and not flow.reliable:
            if self.udp is None:
                self._on_undelivered(message)
            else:
                self._send_datagram(self.udp, message.data, address, flow.port)
            return
        if address is not None and address != flow.host:
            connection = self._connections.get(flow._replace(host=address))
            if connection is not None:
                connection.send(message.data)
                return
        if flow.reliable and message.key is None and message.or_else is None and address == flow.host:
            # A response whose connection is gone: nobody listens on the port that the request came from.
            self._on_undelivered(message)
            return
        waiting = self._waiting.get(flow)
        if waiting is not None:
            if len(waiting) < _MAX_WAITING:
                waiting.append(message)
            return
        self._waiting[flow] = [message]
        task = self._loop.create_task(self._reach(flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @staticmethod
    def _send_datagram(udp: asyncio.DatagramTransport, data: bytes, address: str, port: int) -> None:
        ipv6 = udp.get_extra_info("socket").family == socket.AF_INET6
        udp.sendto(data, (socket_host(address, ipv6=ipv6), port))

    async def close(self) -> None:
        """Give up what waits, and close the UDP socket."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self.udp is not None:
            self.udp.close()

    async def _reach(self, flow: Flow) -> None:
        """Resolve the name and connect, then send what waits."""
        problem: Exception | None = None
        address: str | None = None
        connection: SipConnection | None = None
        try:
            async with asyncio.timeout(_CONNECT_S):
                address = await self._addresses.find(flow.host, self._loop.time())
                if flow.reliable:
                    connection = await self._connect(flow, address)
        except (OSError, TimeoutError) as error:
            problem = error
        except Exception as error:  # noqa: BLE001  else what waits, and what is to come, would wait for ever
            logger.opt(exception=error).error("sip: {} could not be reached", flow)
            problem = error
        for message in self._waiting.pop(flow, []):
            if connection is not None:
                connection.send(message.data)
            elif problem is None and address is not None and self.udp is not None:
                self._send_datagram(self.udp, message.data, address, flow.port)
            elif message.or_else is not None:
                self.send(message._replace(flow=message.or_else, or_else=None))
            else:
                logger.debug("sip: cannot reach {}: {}", flow, own_text(problem) if problem else "no socket")
                self._on_undelivered(message)
        self._on_done()

    async def _connect(self, flow: Flow, address: str) -> SipConnection:
        context = None
        if flow.transport == "tls":
            context = await self._addresses.tls_context()
        wanted = flow._replace(host=address)
        _, connection = await self._loop.create_connection(
            lambda: SipConnection(self._connections, flow.transport, wanted),
            address,
            flow.port,
            ssl=context,
            server_hostname=flow.host if context is not None else None,
        )
        if self._connections.get(wanted) is None:
            raise ConnectionRefusedError("too many connections")
        return connection
