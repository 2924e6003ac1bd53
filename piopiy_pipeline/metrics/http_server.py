"""`MetricsServer`: an HTTP server for Prometheus alone, in a thread, so that a blocked event loop can still be read.

It serves one request after another, each within `REQUEST_S`: whoever scrapes comes every few seconds, and nobody else
is to cost an agent anything.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from socket import AF_INET6, SHUT_RDWR
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from piopiy_pipeline.metrics.registry import MetricRegistry

__all__ = ["MetricsServer", "parse_address"]

REQUEST_S = 5.0
"""How long a client may take to send its request, or to read the answer."""
DEFAULT_HOST = "127.0.0.1"


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of ``[HOST:]PORT``. Without a host it is this machine's own, 127.0.0.1.

    Raises:
        ValueError: It is no such text.
    """
    host, _, port = text.strip().rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} is no port for metrics: give PORT, or HOST:PORT as in 0.0.0.0:9464")
    return host.strip("[]") or DEFAULT_HOST, int(port)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_S

    def setup(self) -> None:
        super().setup()
        # The timeout is that of each reading: who sends a byte now and then would have the server to themselves.
        self._limit = threading.Timer(self.timeout, self._cut)
        self._limit.daemon = True
        self._limit.start()

    def handle(self) -> None:
        with suppress(OSError):  # a client that is gone, or too slow: the next one is served
            super().handle()

    def finish(self) -> None:
        self._limit.cancel()
        with suppress(OSError):
            super().finish()

    def _cut(self) -> None:
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: there is a request every few seconds."""


class _Server(WSGIServer):
    def server_bind(self) -> None:
        # Not that of `HTTPServer`, which asks DNS for the name of this machine: that takes seconds where there is none.
        TCPServer.server_bind(self)
        host, self.server_port = self.server_address[:2]
        self.server_name = str(host)
        self.setup_environ()


class _SixServer(_Server):
    address_family = AF_INET6


class MetricsServer:
    """Serves a registry from now on, until `close`.

    Args:
        registry: What is served.
        host: The address to listen on.
        port: The port; 0 takes any free port.

    Raises:
        OSError: It cannot listen there.
    """

    def __init__(self, registry: MetricRegistry, host: str, port: int) -> None:
        app = make_wsgi_app(registry.collector)
        kind = _SixServer if ":" in host else _Server
        self._server = make_server(host, port, app, kind, handler_class=_Handler)
        self.port: int = self._server.server_port
        """The port that it has."""
        self._thread = threading.Thread(target=self._server.serve_forever, name="piopiy metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more. Waits for a request that is under way, `REQUEST_S` at most."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_S)
