"""Why NATS servers are not reached, as operators read it."""

from __future__ import annotations

import socket
import ssl

import nats.errors
import pytest

from piopiy_pipeline.compat.nats import NotEncryptedError
from piopiy_pipeline.gateway.cluster.unreached_servers import UnreachedServers

HERE = "nats://10.0.0.2:4222"


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


def several() -> OSError:
    return OSError(
        "Multiple exceptions: [Errno 111] Connect call failed ('::1', 4222, 0, 0),"
        " [Errno 111] Connect call failed ('127.0.0.1', 4222)"
    )


@pytest.mark.parametrize(
    ("error", "cause", "what_to_do"),
    [
        (socket.gaierror(-2, "Name or service not known"), "no address", "servers in [cluster]"),
        (
            ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"),
            "nothing listens",
            "look at its port",
        ),
        (several(), "nothing listens", "look at its port"),
        (OSError(113, "Connect call failed ('10.0.0.2', 4222)"), "no way to it (No route to host)", ""),
        (untrusted(), "not trusted (self-signed certificate)", "SSL_CERT_FILE"),
        (NotEncryptedError(), "no TLS, so nothing was sent", "set up its tls"),
        (TimeoutError(), "does not answer", "firewall"),
        (nats.errors.Error("nats: 'Authorization Violation'"), "refuses", "user and password, token or cred"),
        (nats.errors.AuthorizationError(), "refuses", "user and password, token or credentials"),
        (nats.errors.Error("nats: 'User Authentication Expired'"), "refuses", "credentials"),
        (nats.errors.UnexpectedEOF(), "the connection was lost", ""),
        (nats.errors.Error("nats: 'maximum connections exceeded'"), "maximum connections exceeded", ""),
    ],
)
def test_a_problem_names_the_server_the_cause_and_what_to_do(
    error: Exception, cause: str, what_to_do: str
) -> None:
    unreached = UnreachedServers([HERE])
    assert HERE in unreached.problem
    unreached.note(HERE, error)
    assert unreached.problem.startswith(f"the cluster's NATS servers are not reached: {HERE}: ")
    assert cause in unreached.problem
    assert what_to_do in unreached.problem
    assert len(unreached.problem) < 200, "the console of another gateway has it whole"
    assert cause in unreached.cause
    assert "10.0.0.2" not in unreached.cause
    assert "127.0.0.1" not in unreached.problem
    unreached.clear()
    assert cause not in unreached.problem


def test_servers_with_one_cause_are_told_together() -> None:
    servers = [f"nats://10.0.0.{number}:4222" for number in range(2, 7)]
    unreached = UnreachedServers(servers)
    for server in servers:
        unreached.note(server, ConnectionRefusedError(111, "Connection refused"))
    assert "nats://10.0.0.2:4222, nats://10.0.0.3:4222 and 3 more: nothing listens" in unreached.problem
    unreached.note(servers[0], TimeoutError())
    assert "nats://10.0.0.2:4222: it does not answer" in unreached.problem
    assert unreached.cause.count(";") == 1
