"""How the port is opened: certificates, the first words of a connection, and why it could not be.

Every connection begins as a `FirstRequest`; what asks for a WebSocket becomes a `GatewayConnection`.
"""

from __future__ import annotations

import asyncio
import errno
import resource
import ssl
from collections.abc import Callable
from typing import Any

from loguru import logger
from websockets.asyncio.server import Server
from websockets.frames import CloseCode
from websockets.server import ServerProtocol

from piopiy_pipeline.gateway.config import GatewayConfig
from piopiy_pipeline.gateway.errors import GatewayError
from piopiy_pipeline.gateway.port.first_request import Connections, FirstRequest, Site
from piopiy_pipeline.gateway.port.router import GREETING, Visit
from piopiy_pipeline.offload import offload
from piopiy_pipeline.signaling.websocket import DirectServerConnection

__all__ = ["GatewayConnection", "make_door", "make_room", "tls_context", "why_not"]

SPARE_FILES = 128
"""Of the process itself: its database, its browsers' processes, its libraries."""


class GatewayConnection(DirectServerConnection):
    """A WebSocket of this gateway."""

    crowd: Connections
    visit: Visit | None = None

    @property
    def host(self) -> str | None:
        """The address of whoever is at the other end."""
        peer = self.transport.get_extra_info("peername")
        return peer[0] if isinstance(peer, tuple) else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.crowd.hand_over(self.transport, self)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.crowd.leave(self.transport)

    def go_away(self) -> None:
        self.finish(CloseCode.GOING_AWAY, "the gateway is shutting down")


def make_door(crowd: Connections, site: Site) -> Callable[..., FirstRequest]:
    """What websockets calls for a new connection: it is a WebSocket only if its first request says so."""

    def open_door(protocol: ServerProtocol, server: Server, **settings: Any) -> FirstRequest:
        def open_socket() -> GatewayConnection:
            connection = GatewayConnection(protocol, server, **settings)
            connection.crowd = crowd
            return connection

        return FirstRequest(crowd=crowd, site=site, open_socket=open_socket, greeting=GREETING)

    return open_door


def make_room(config: GatewayConfig, connections: int) -> None:
    """Have the system give this process as many open files as its calls may need: it begins with few.

    A call has a recording, and a telephone's two sockets for each of two legs. Where that is not
    allowed, it is said now, and not by the first call that finds no room.
    """
    files = connections + config.max_calls * (5 if config.sip else 1) + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    possible = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (possible, hard))
    if possible < files:
        logger.warning(
            "{} calls may need {} open files, and this process may have {}: "
            "raise its limit (ulimit -n, LimitNOFILE=), or lower max_calls",
            config.max_calls,
            files,
            possible,
        )


async def tls_context(config: GatewayConfig) -> ssl.SSLContext | None:
    """With what the port speaks TLS, if it does. Raises `GatewayError` for files that cannot be used."""
    if config.tls_certificate is None or config.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        # Without a password to ask for: a key that needs one would have the gateway wait for a keyboard.
        await offload(context.load_cert_chain, config.tls_certificate, config.tls_key, "")
    except OSError as error:  # ssl.SSLError is one
        raise GatewayError(
            f"tls_certificate {config.tls_certificate}, tls_key {config.tls_key}: cannot be used: {error}"
        ) from None
    return context


def why_not(error: OSError, host: str, port: int) -> str:
    """Why the port could not be opened, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use on {host}: stop what uses it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"cannot listen on {host}: that is no address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges on this machine: choose one above 1023"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"
