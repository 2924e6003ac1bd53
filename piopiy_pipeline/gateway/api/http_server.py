"""Plain HTTP over connections whose first request was read elsewhere (`gateway.port.first_request`).

uvicorn is used as a protocol and not as a server: the port, the count of connections and the order of
closing are the gateway's own. Tested over real connections in ``tests/gateway/port/test_first_request.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from piopiy_pipeline.compat.uvicorn import Config, HttpProtocol, ServerState
from piopiy_pipeline.gateway.port.first_request import HEAD_LIMIT, HEAD_S, Connections

__all__ = ["HttpConnection", "HttpServer"]

KEEP_ALIVE_S = 5
"""How long a connection may idle between two requests."""
STALL_S = 30.0
"""A client that reads nothing of an answer for this long is cut off."""
END_S = 1.0
"""How long requests in progress may take when the gateway closes."""


class HttpServer:
    """The connections that speak HTTP, and the requests in progress on them.

    Args:
        app: The ASGI application.
        connections: All connections of the gateway. Each one here is entered there already.
    """

    def __init__(self, app: Any, connections: Connections) -> None:
        self.connections = connections
        self._config = Config(
            app,
            http=HttpConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # what clients send wrongly is answered, not logged
            access_log=False,
            proxy_headers=False,  # nothing here depends on them, and anybody can send them
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            h11_max_incomplete_event_size=HEAD_LIMIT,
        )
        self._config.load()
        self._state = ServerState()

    def connect(self, open_websocket: Callable[[], asyncio.Protocol]) -> HttpConnection:
        """Make a protocol for one more connection.

        Args:
            open_websocket: Makes the protocol that takes over when a later request asks for a WebSocket.
        """
        return HttpConnection(self._config, self._state, self.connections, open_websocket)

    async def close(self) -> None:
        """Wait for the requests in progress, and cancel those that take too long.

        Call this after the connections have gone: a request may outlast its connection.
        """
        tasks = tuple(self._state.tasks)
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=END_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class HttpConnection(HttpProtocol):
    """An HTTP connection with limits on how slowly a client may send requests and read answers."""

    def __init__(
        self,
        config: Config,
        state: ServerState,
        connections: Connections,
        open_websocket: Callable[[], asyncio.Protocol],
    ) -> None:
        super().__init__(config, state)
        self._connections = connections
        self._open_websocket = open_websocket
        self._is_websocket = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered."""
        return not self.is_answering

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._connections.hand_over(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_head_timer()
        self._stop_stall_timer()
        self._connections.remove(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_websocket:
            return
        if self.is_answering:
            self._stop_head_timer()
        elif self._head_timer is None:
            # The client sends the head of its next request, or a body that nobody reads any more.
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.abort)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_head_timer()

    def on_websocket(self, data: bytes) -> None:
        """Hand the connection over: clients that keep connections use one that has carried requests."""
        self._is_websocket = True
        self._stop_head_timer()
        self._stop_stall_timer()
        successor = self._open_websocket()
        self.transport.set_protocol(successor)
        successor.connection_made(self.transport)
        if self.flow.write_paused:  # the answer before is not read yet, and its buffer is the successor's now
            successor.pause_writing()
        successor.data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop_stall_timer()
        self._stall_timer = self.loop.call_later(STALL_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_stall_timer()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None
