"""`UnreachedServers`: why the NATS servers are not reached, each of them, and what an operator can do. No I/O."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

from nats.errors import AuthorizationError, StaleConnectionError, UnexpectedEOF

from piopiy_pipeline.compat.nats import NotEncryptedError
from piopiy_pipeline.gateway.cluster.nats_trouble import nats_trouble

__all__ = ["UnreachedServers", "is_refusal"]

MOST_SERVERS = 64
"""Servers name others: of so many it is known why."""
MOST_TOLD = 2
REFUSED = "nothing listens there: start the server, or look at its port"
SILENT = "it does not answer: look for a firewall, or another service at that port"
_ERRNO = re.compile(r"\[Errno (\d+)\]")
_REFUSALS = (
    "authorization violation",
    "user authentication",
    "account authentication",
    "authentication timeout",
)


def is_refusal(error: Exception) -> bool:
    """Return whether the servers do not accept what this gateway logs in with."""
    return isinstance(error, AuthorizationError) or any(one in str(error).lower() for one in _REFUSALS)


def cause_of(error: Exception) -> str:
    """Return why a server is not reached, and what to do, without a full stop."""
    if is_refusal(error):
        return "it refuses what logs in: look at user and password, token or credentials in [cluster]"
    match error:
        case NotEncryptedError():
            return "it has no TLS, so nothing was sent to it: set up its tls, or write nats:// in [cluster] servers"
        case ssl.SSLCertVerificationError(verify_message=str(reason)):
            return f"its certificate is not trusted ({reason}): name your CA's file in SSL_CERT_FILE"
        case ssl.SSLError():
            reason = (error.reason or "no reason").lower().replace("_", " ")
            return f"TLS fails ({reason}): look whether TLS is spoken at that port"
        case socket.gaierror():
            return "its name has no address: look at servers in [cluster], and at DNS"
        case ConnectionRefusedError():
            return REFUSED
        case TimeoutError():
            return SILENT
        case UnexpectedEOF() | StaleConnectionError() | ConnectionResetError() | BrokenPipeError():
            return "the connection was lost"
        case OSError():
            return _of_the_system(error)
        case _:
            return nats_trouble(error)


def _of_the_system(error: OSError) -> str:
    """Return the cause of several attempts too, which asyncio tells as a text with all addresses of the name."""
    numbers = {int(number) for number in _ERRNO.findall(str(error))}
    if numbers == {errno.ECONNREFUSED}:
        return REFUSED
    if not numbers or errno.ETIMEDOUT in numbers:
        return SILENT
    return f"there is no way to it ({', '.join(sorted({os.strerror(one) for one in numbers}))})"


class UnreachedServers:
    """Those that have been tried since the last one was reached.

    Args:
        servers: The ones of the configuration.
    """

    def __init__(self, servers: list[str]) -> None:
        self._servers = servers
        self._causes: dict[str, str] = {}  # by server

    def note(self, server: str, error: Exception) -> None:
        """Note that a server was not reached, or is not any more."""
        if server in self._causes or len(self._causes) < MOST_SERVERS:
            self._causes[server] = cause_of(error)

    def clear(self) -> None:
        """Forget all of it: one is reached."""
        self._causes.clear()

    @property
    def cause(self) -> str:
        """Why, without the servers' names."""
        return "; ".join(sorted(set(self._causes.values()))[:MOST_TOLD]) or "not answered yet"

    @property
    def problem(self) -> str:
        """What is wrong, a sentence without a full stop."""
        if not self._causes:
            servers = ", ".join(self._servers[:MOST_TOLD])
            return f"the cluster's NATS servers are not reached: {servers}: not answered yet"
        by_cause: dict[str, list[str]] = {}
        for server in sorted(self._causes):
            by_cause.setdefault(self._causes[server], []).append(server)
        lines = [f"{_some(servers)}: {cause}" for cause, servers in by_cause.items()]
        return f"the cluster's NATS servers are not reached: {'; '.join(lines[:MOST_TOLD])}"


def _some(servers: list[str]) -> str:
    more = len(servers) - MOST_TOLD
    return ", ".join(servers[:MOST_TOLD]) + (f" and {more} more" if more > 0 else "")
