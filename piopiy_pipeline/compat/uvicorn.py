"""What the HTTP side uses of uvicorn beyond its documented interface.

The gateway has one port for WebSockets and for HTTP, and closes its connections in its own order. uvicorn's
documented interface is a server that owns its port and all that comes to it. So the gateway uses uvicorn's
HTTP/1.1 protocol (`H11Protocol`) alone, which uvicorn does not document.
docs/upstream.md lists the interface that would replace this file.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from piopiy_pipeline.compat import check_attributes, check_parameters

__all__ = ["Config", "HttpProtocol", "ServerState", "check"]

UVICORN = ">=0.54,<0.55"


def check() -> None:
    """Check that the installed uvicorn has everything that this file uses.

    Raises:
        CompatError: Something is missing. The message names it.
    """
    hooks = ("connection_made", "connection_lost", "data_received", "pause_writing", "resume_writing")
    upgrades = ("_should_upgrade_to_ws", "handle_websocket_upgrade", "connections", "scope", "conn", "flow")
    used = ("on_response_complete", "_unset_keepalive_if_required", "transport", "loop", "cycle")
    check_attributes(
        "uvicorn",
        [
            *((H11Protocol, name) for name in (*hooks, *used, *upgrades)),
            (RequestResponseCycle, "response_complete"),
            (RequestResponseCycle, "keep_alive"),
            (ServerState, "tasks"),
            (Config, "load"),
        ],
        written_for=UVICORN,
        used_in=__name__,
    )
    for function, parameters in (
        (H11Protocol, ("config", "server_state", "app_state", "_loop")),
        (RequestResponseCycle, ("on_response",)),
        (Config, ("http", "ws", "lifespan", "interface", "proxy_headers", "server_header")),
        (Config, ("log_config", "log_level", "access_log", "timeout_keep_alive")),
        (Config, ("h11_max_incomplete_event_size",)),
    ):
        check_parameters("uvicorn", function, parameters, written_for=UVICORN, used_in=__name__)


class HttpProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 connection, for a server that is not uvicorn's.

    Subclasses may override asyncio's methods and `on_response_complete`, and must call them here, and `on_websocket`.

    Args:
        config: Uvicorn's settings and the application, loaded (`Config.load`).
        state: What the connections of one server share: `state.tasks` are the requests in progress.
    """

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {}, asyncio.get_running_loop())

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # uvicorn leaves this timer running for a connection that was lost by an error.
        self._unset_keepalive_if_required()

    def _should_upgrade_to_ws(self) -> bool:
        return bool(self.scope["method"] == "GET")

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self.connections.discard(self)
        self.flow.resume_reading()
        head = b"".join(b"%b: %b\r\n" % field for field in event.headers.raw_items())
        sent_on = self.conn.trailing_data[0]
        self.on_websocket(b"GET %b HTTP/1.1\r\n%b\r\n%b" % (event.target, head, sent_on))

    def on_websocket(self, data: bytes) -> None:
        """Take note that a request asks for a WebSocket. It is not answered here, and nothing is read after it.

        Args:
            data: The handshake, and what was read behind it.
        """
        raise NotImplementedError

    @property
    def is_answering(self) -> bool:
        """Whether a request has come whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def close_gracefully(self) -> None:
        """Close after the answer in progress, or at once if there is none."""
        if self.is_answering:
            self.cycle.keep_alive = False
        else:
            self.transport.close()


check()
