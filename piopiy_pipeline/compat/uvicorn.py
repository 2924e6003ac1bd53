"""What the HTTP side uses of uvicorn beyond its documented interface.

The gateway has one port for WebSockets and for HTTP, and closes its connections in its own order. uvicorn's
documented interface is a server that owns its port and all that comes to it. So the gateway uses uvicorn's
HTTP/1.1 protocol (`H11Protocol`) alone, which uvicorn does not document.
docs/upstream.md lists the interface that would replace this file.
"""

from __future__ import annotations

import asyncio

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
    used = ("on_response_complete", "_unset_keepalive_if_required", "transport", "loop", "cycle")
    check_attributes(
        "uvicorn",
        [
            *((H11Protocol, name) for name in (*hooks, *used)),
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

    Subclasses may override asyncio's methods and `on_response_complete`, and must call them here.

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
