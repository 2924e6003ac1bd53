"""`RoamingConnections`: an agent's connections to gateways at which it is not at home, for calls that wait there.

Roaming begins when the gateway at home says where (`Roam`). Its connection stays for a while, so that the next call
of that gateway needs none; it does not depend on the gateway at home, which may die meanwhile. What is said over it,
and in which order, is in `signaling.roaming`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from loguru import logger
from websockets.exceptions import WebSocketException

from piopiy_pipeline.agent.gateway_addresses import gateway_url
from piopiy_pipeline.agent.signaling_connection import GatewayListener, SignalingConnection
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.signaling.messages import Reject, Roam, Roaming, RoamResult

__all__ = ["IDLE_S", "RoamingConnections"]

IDLE_S = 30.0
"""How long a connection stays without a call, in seconds: at busy times the next one comes sooner."""
MOST_GATEWAYS = 256
"""So many gateways beside the one at home are served at a time. A call of one more goes to another instance."""


class _OtherGateway:
    """One gateway beside the one at home."""

    def __init__(self, connection: SignalingConnection) -> None:
        self.connection = connection
        self.closing = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.expected: dict[str, Roam] = {}  # calls that are to be offered
        self.idle: asyncio.TimerHandle | None = None


class RoamingConnections:
    """The gateways beside the one at home that have calls here, or had some a moment ago.

    Args:
        listener: Is told what comes over their connections.
        calls_of: Returns how many calls came over a connection and are in progress.
        settle: Tells the gateway at home what became of a `Roam`.
        idle_s: How long a connection stays without a call, in seconds.
    """

    def __init__(
        self,
        listener: GatewayListener,
        *,
        calls_of: Callable[[SignalingConnection], int],
        settle: Callable[[RoamResult], None],
        idle_s: float = IDLE_S,
    ) -> None:
        self._listener = listener
        self._calls_of = calls_of
        self._settle = settle
        self._idle_s = idle_s
        self._gateways: dict[str, _OtherGateway] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._deadlines: dict[str, asyncio.TimerHandle] = {}  # by call
        self._closed = False

    def begin(self, order: Roam, home: SignalingConnection) -> None:
        """Go where the gateway at home says, or tell it why not."""
        try:
            url = gateway_url(order.url)
        except ValueError as error:
            self._refuse(order.call_id, str(error))
            return
        if home.url.startswith("wss:") and not url.startswith("wss:"):
            self._refuse(order.call_id, f"{url}: not encrypted, and the gateway at home is")
            return
        gateway = self._gateways.get(url)
        if self._closed:
            self._refuse(order.call_id, "the agent is shut down")
            return
        if gateway is None and len(self._gateways) >= MOST_GATEWAYS:
            self._refuse(order.call_id, "it serves too many gateways")
            return
        self._forget(order.call_id)
        loop = asyncio.get_running_loop()
        self._deadlines[order.call_id] = loop.call_later(
            order.deadline_ms / 1000, self._refuse, order.call_id, "the call was not offered in time"
        )
        if gateway is None:
            gateway = self._open(url, order)
        gateway.expected[order.call_id] = order
        self._look(gateway)
        if gateway.connection.registered:
            self._say_roaming(gateway, order)

    def registered(self, connection: SignalingConnection) -> bool:
        """Say for which calls the instance is there, if this is one of these connections. Returns whether it is."""
        gateway = self._of(connection)
        if gateway is None:
            return False
        for order in list(gateway.expected.values()):
            self._say_roaming(gateway, order)
        self._look(gateway)  # the call may be expected no more
        return True

    def offered(self, call_id: str, refusal: Reject | None) -> None:
        """Note that a call is offered, and goes to be taken or not. Nothing happens if it was not expected."""
        if call_id in self._deadlines:
            self._forget(call_id)
            detail = "" if refusal is None else f"{refusal.reason} {refusal.detail}".strip()
            self._settle(RoamResult(call_id=call_id, taken=refusal is None, detail=detail))

    def refused(self, call_id: str, detail: str) -> None:
        """Note that the other gateway does not need the instance for this call."""
        if call_id in self._deadlines:
            self._refuse(call_id, detail)

    @property
    def connections(self) -> list[SignalingConnection]:
        """Those over which messages can be sent."""
        return [one.connection for one in self._gateways.values() if one.connection.registered]

    def look(self) -> None:
        """Look which connections have a call, because one has begun or ended."""
        for gateway in self._gateways.values():
            self._look(gateway)

    async def close(self) -> None:
        """Give the calls back, and close all connections."""
        self._closed = True
        for call_id in list(self._deadlines):
            self._refuse(call_id, "the agent is shut down")
        for gateway in list(self._gateways.values()):
            self._leave(gateway)
        if self._leaving:
            await asyncio.wait(self._leaving)  # bounded by the closing handshake

    # ------------------------------------------------------------------ one gateway

    def _open(self, url: str, order: Roam) -> _OtherGateway:
        open_s = order.deadline_ms / 1000
        connection = SignalingConnection(url, order.ticket, self._listener, open_s=open_s)
        gateway = self._gateways[url] = _OtherGateway(connection)
        gateway.task = asyncio.create_task(self._serve(gateway), name=f"roam to {url}")
        return gateway

    async def _serve(self, gateway: _OtherGateway) -> None:
        connection, why = gateway.connection, "the connection was lost"
        try:
            await connection.serve(gateway.closing)
        except (OSError, TimeoutError, WebSocketException) as error:
            why = f"{connection.url}: {own_text(error)}"
            logger.warning("a call at another gateway cannot be taken: {}", why)
        finally:
            self._leave(gateway)
            for call_id in list(gateway.expected):
                self._refuse(call_id, why[:500])

    def _say_roaming(self, gateway: _OtherGateway, order: Roam) -> None:
        gateway.connection.post(Roaming(call_id=order.call_id, ticket=order.ticket))

    def _look(self, gateway: _OtherGateway) -> None:
        busy = bool(gateway.expected) or self._calls_of(gateway.connection) > 0
        if busy and gateway.idle is not None:
            gateway.idle.cancel()
            gateway.idle = None
        elif not busy and gateway.idle is None and gateway.connection.registered:
            loop = asyncio.get_running_loop()
            gateway.idle = loop.call_later(self._idle_s, partial(self._leave, gateway))

    def _leave(self, gateway: _OtherGateway) -> None:
        """Begin to close a connection, or note that it is gone: a call that comes from now on opens another one."""
        if self._gateways.get(gateway.connection.url) is gateway:
            del self._gateways[gateway.connection.url]
        if gateway.idle is not None:
            gateway.idle.cancel()
            gateway.idle = None
        gateway.closing.set()
        if gateway.task is not None and not gateway.task.done():
            self._leaving.add(gateway.task)
            gateway.task.add_done_callback(self._leaving.discard)

    def _of(self, connection: SignalingConnection) -> _OtherGateway | None:
        gateway = self._gateways.get(connection.url)
        return gateway if gateway is not None and gateway.connection is connection else None

    # ------------------------------------------------------------------ one call

    def _refuse(self, call_id: str, detail: str) -> None:
        self._forget(call_id)
        self._settle(RoamResult(call_id=call_id, taken=False, detail=detail[:500]))

    def _forget(self, call_id: str) -> None:
        """Expect a call no more."""
        if (deadline := self._deadlines.pop(call_id, None)) is not None:
            deadline.cancel()
        for gateway in list(self._gateways.values()):
            if gateway.expected.pop(call_id, None) is not None:
                self._look(gateway)
