"""What `piopiy check` says of a gateway's settings, and of the NATS servers that they name.

A NATS server greets with a line of JSON before anybody logs in: it says whether there is JetStream, and TLS.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from piopiy_pipeline.cli.finding import Finding
from piopiy_pipeline.text import counted

if TYPE_CHECKING:
    from piopiy_pipeline.gateway.cluster.config import ClusterConfig

__all__ = ["gateway_findings"]

_REACH_S = 5.0
_MOST_BYTES = 64 * 1024
_PREFIX = "PIOPIY_GATEWAY_"


def gateway_findings(config: Path | None) -> Iterator[Finding]:
    """Check a gateway's settings, if there are any, and the NATS servers of its cluster. It does not log in.

    Args:
        config: The gateway's file. None: the variables of the environment alone.
    """
    if config is None and not any(name.startswith(_PREFIX) for name in os.environ):
        return
    from piopiy_pipeline.gateway.config import GatewayConfig
    from piopiy_pipeline.gateway.errors import GatewayError

    try:
        settings = GatewayConfig.load(config)
    except GatewayError as error:
        yield Finding("gateway's settings", "bad", str(error))
        return
    yield Finding(
        "gateway's settings", "ok", f"{config or f'{_PREFIX}*'}: {counted(len(settings.agents), 'agent')}"
    )
    if settings.cluster is not None:
        yield from _servers(settings.cluster)


def _servers(cluster: ClusterConfig) -> Iterator[Finding]:
    for server in cluster.servers:
        parts = urlsplit(server)
        host, port = parts.hostname or "", parts.port or 4222
        try:
            greeting = _greeting(host, port)
        except TimeoutError:
            yield Finding("nats", "bad", f"{server}: no answer within {_REACH_S:g} s")
        except OSError as error:
            yield Finding("nats", "bad", f"{server}: {error.strerror or error}")
        except ValueError:
            yield Finding("nats", "bad", f"{server}: what answers there is no NATS server")
        else:
            yield _judged(server, parts.scheme, greeting)


def _greeting(host: str, port: int) -> dict[str, Any]:
    """Return what a NATS server says of itself. Raises `OSError` without one, `ValueError` if it is something else."""
    with socket.create_connection((host, port), _REACH_S) as connection:
        connection.settimeout(_REACH_S)
        text = b""
        while b"\n" not in text and len(text) < _MOST_BYTES:
            more = connection.recv(4096)
            if not more:
                break
            text += more
    verb, _, rest = text.partition(b" ")
    if verb != b"INFO" or not rest.startswith(b"{"):
        raise ValueError("no greeting")
    greeting: dict[str, Any] = json.loads(rest)
    return greeting


def _judged(server: str, scheme: str, greeting: dict[str, Any]) -> Finding:
    version = f"{server}: NATS {greeting.get('version', '?')}"
    has_tls = bool(greeting.get("tls_required") or greeting.get("tls_available"))
    if scheme == "tls" and not has_tls:
        return Finding("nats", "bad", f"{version} has no TLS: set it up there, or write nats://")
    if not greeting.get("jetstream"):
        detail = "without JetStream: pages and telephone calls end with their gateway (nats-server -js)"
        return Finding("nats", "bad", f"{version} {detail}")
    return Finding("nats", "ok", f"{version}, with JetStream")
