"""Plain HTTP over a connection that the door has handed on: uvicorn's protocol, bounded in time.

uvicorn is used as a protocol and not as a server: the port, the count of connections and the order of
closing are the gateway's own. This module loads uvicorn, so it is imported in a thread.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from piopiy_pipeline.gateway.port.first_request import HEAD_LIMIT, HEAD_S, Connections

__all__ = ["HttpConnection", "HttpServer"]

KEEP_ALIVE_S = 5
"""How long a connection may idle between two requests."""
STALL_S = 30.0
"""A client that takes nothing of an answer for this long is cut off."""
END_S = 1.0
"""How long requests in progress may take when the gateway closes."""


class HttpServer:
    """The connections that speak HTTP, and the requests in progress on them."""

    def __init__(self, app: Any, crowd: Connections) -> None:
        self.crowd = crowd
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

    def connect(self) -> HttpConnection:
        """A protocol for one more connection."""
        return HttpConnection(self._config, self._state, {}, server=self)

    async def close(self) -> None:
        """After the connections have gone: wait for what still runs for them, and end it."""
        tasks = tuple(self._state.tasks)
        if not tasks:
            return
        await asyncio.wait(tasks, timeout=END_S)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class HttpConnection(H11Protocol):
    """uvicorn's protocol, with bounds on how slowly a client may send heads and take answers."""

    def __init__(self, config: Config, state: ServerState, app_state: dict[str, Any], *, server: HttpServer):
        super().__init__(config, state, app_state, asyncio.get_running_loop())
        self._server = server
        self._slow_head: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._server.crowd.hand_over(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop(self._slow_head)
        self._stop(self._stalled)
        self._server.crowd.leave(self.transport)

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._is_busy():
            self._stop(self._slow_head)
            self._slow_head = None
        elif self._slow_head is None:
            # It is sending the head of its next request, or a body that nobody wants any more.
            self._slow_head = self.loop.call_later(HEAD_S, self._cut)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop(self._slow_head)
        self._slow_head = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stop(self._stalled)
        self._stalled = self.loop.call_later(STALL_S, self._cut)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop(self._stalled)
        self._stalled = None

    def go_away(self) -> None:
        """The gateway closes: the answer in progress is the last."""
        if self._is_busy():
            self.cycle.keep_alive = False
        else:
            self.transport.close()

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _cut(self) -> None:
        self.transport.abort()

    @staticmethod
    def _stop(timer: asyncio.TimerHandle | None) -> None:
        if timer is not None:
            timer.cancel()
