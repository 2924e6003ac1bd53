"""Opens the gateway's port: certificates, the limit of open files, the first state of a connection, and
errors.

Every connection begins as a `FirstRequest`; what asks for a WebSocket becomes a `AcceptedWebSocket`.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl
from collections.abc import Callable
from typing import Any

from loguru import logger
from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError, unusable
from piopiy_pipeline.gateway.port.first_request import Connections, FirstRequest, OpenHttp
from piopiy_pipeline.gateway.port.router import Route
from piopiy_pipeline.gateway.port.tls_handshake import TlsHandshake
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.liveness import SIGNALING_FEATURES, SIGNALING_FEATURES_HEADER
from piopiy_pipeline.signaling.media_events import FEATURES, FEATURES_HEADER
from piopiy_pipeline.signaling.websocket import DirectServerConnection
from piopiy_pipeline.text import counted

__all__ = [
    "AcceptedWebSocket",
    "bind_error",
    "first_request_factory",
    "name_features",
    "raise_open_file_limit",
    "tls_context",
]

SPARE_FILES = 128
"""Open files that the process itself needs: its database, its browsers' processes, its libraries."""


class AcceptedWebSocket(DirectServerConnection):
    """A WebSocket that the gateway has accepted."""

    connections: Connections
    route: Route | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether its handshake was not answered yet."""
        return self.route is None

    @property
    def host(self) -> str | None:
        """The address of the other end."""
        peer = self.transport.get_extra_info("peername")
        return peer[0] if isinstance(peer, tuple) else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.connections.hand_over(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connections.remove(self.transport)

    def close_gracefully(self) -> None:
        """Close with the code for a server that shuts down."""
        self.finish(CloseCode.GOING_AWAY, "the gateway is shutting down")


def first_request_factory(
    connections: Connections, open_http: OpenHttp, tls: ssl.SSLContext | None = None
) -> Callable[..., FirstRequest | TlsHandshake]:
    """Return what websockets calls for a new connection: it becomes a WebSocket if its first request says so.

    Args:
        connections: Counts all connections of the gateway.
        open_http: Makes the protocol of a connection that speaks plain HTTP, given what makes that of a WebSocket.
        tls: Connections begin with a TLS handshake in this context. None: without TLS.
    """

    def open_connection(
        protocol: ServerProtocol, server: Server, **settings: Any
    ) -> FirstRequest | TlsHandshake:
        def open_websocket() -> AcceptedWebSocket:
            connection = AcceptedWebSocket(protocol, server, **settings)
            connection.connections = connections
            return connection

        def open_first_request() -> FirstRequest:
            return FirstRequest(connections=connections, open_websocket=open_websocket, open_http=open_http)

        return open_first_request() if tls is None else TlsHandshake(tls, connections, open_first_request)

    return open_connection


def raise_open_file_limit(config: GatewayConfig, connections: int) -> None:
    """Raise this process's limit of open files to what its calls may need, as far as the system allows it.

    A call has a recording, and a telephone has two sockets for each of two legs. If the limit cannot be raised
    far enough, a warning says so now, and not the first call that fails.

    Args:
        config: `max_calls`, and whether there are telephones.
        connections: How many connections the port may have.
    """
    files = connections + config.max_calls * (5 if config.sip else 1) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    possible = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible < files:
        logger.warning(
            "{} may need {} open files, and this process may have {}: "
            "raise its limit (ulimit -n, LimitNOFILE=), or lower max_calls",
            counted(config.max_calls, "call"),
            files,
            possible,
        )


async def tls_context(config: GatewayConfig) -> ssl.SSLContext | None:
    """Return the TLS context of the port, None without TLS. Raises `GatewayError` for files that cannot be used."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password to ask for: a key that needs one would have the gateway wait for a keyboard.
        await offload(context.load_cert_chain, config.tls_certificate, config.tls_key, "")
    except OSError as error:  # ssl.SSLError is one
        raise GatewayError(
            f"tls_certificate {config.tls_certificate}, tls_key {config.tls_key}: cannot be used: "
            f"{unusable(error, config.tls_certificate, config.tls_key)}"
        ) from None
    return context


def bind_error(error: OSError, host: str, port: int) -> str:
    """Return a sentence that says why the port could not be opened, and what to do.

    Args:
        error: What the operating system has raised.
        host: The address.
        port: The port.
    """
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use on {host}: stop what uses it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host}: that is no address of this machine: set host to one"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges on this machine: choose one above 1023"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"


def name_features(connection: ServerConnection, request: Request, response: Response) -> None:
    """Name to agents what media streams and signaling can do here. They cannot ask: older gateways refuse what they
    do not know.
    """
    if request.path.startswith("/media/"):
        response.headers[FEATURES_HEADER] = FEATURES
    elif request.path.startswith("/agent"):
        response.headers[SIGNALING_FEATURES_HEADER] = SIGNALING_FEATURES
