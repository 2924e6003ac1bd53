"""Finds the gateway, the agent and the key: on the command line, in the environment, or from `piopiy dev`.

It is one place because every verb that talks to a gateway looks in the same places in the same order.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from piopiy_pipeline.cli.credentials import CredentialsError, DevCredentials, find_credentials
from piopiy_pipeline.cli.errors import BadInput, Failed
from piopiy_pipeline.signaling.agent_identity import ID_VARIABLES, read_first
from piopiy_pipeline.url_parts import url_parts

__all__ = [
    "CONNECT_S",
    "DEFAULT_URL",
    "LOOPBACK",
    "Target",
    "find_target",
    "gateway_url",
    "local_port",
    "no_gateway",
    "require_gateway",
]

CONNECT_S = 10.0
"""How long a gateway may take to answer."""

DEFAULT_URL = "ws://127.0.0.1:7860"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


@dataclass(frozen=True, slots=True)
class Target:
    """An agent behind a gateway. `url` has no path and no slash at its end."""

    url: str
    agent_id: str
    key: str = field(repr=False)

    @property
    def call_url(self) -> str:
        """The URL to which a caller's WebSocket connects."""
        return f"{self.url}/call/{quote(self.agent_id, safe='')}"

    @property
    def is_loopback(self) -> bool:
        """Whether the gateway is on this machine's loopback."""
        return urlsplit(self.url).hostname in LOOPBACK


def gateway_url(url: str | None) -> str:
    """Return the gateway's address as a WebSocket URL without a path.

    Args:
        url: The address as it was typed; ``http`` and ``https`` become ``ws`` and ``wss``. None: the first
            of PIOPIY_URL, or the default.

    Raises:
        BadInput: It is not the address of a gateway.
    """
    if not url and (named := os.environ.get("PIOPIY_URL", "").split(",")[0]):
        try:
            return gateway_url(named)
        except BadInput as error:
            raise BadInput(f"PIOPIY_URL: {error}") from None
    text = (url or DEFAULT_URL).strip()
    try:
        parts = url_parts(text)
    except ValueError as error:
        raise BadInput(f"not a gateway's address: {error}; it looks like {DEFAULT_URL}") from None
    port = parts.port
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.path.strip("/") or parts.query:
        raise BadInput(f"{text}: not a gateway's address; it looks like {DEFAULT_URL}")
    if parts.username is not None or parts.password is not None:
        raise BadInput("a gateway's address holds no credentials: use --key or PIOPIY_CALLER_KEY")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{_SCHEMES[parts.scheme]}://{host}" + (f":{port}" if port is not None else "")


def local_port(url: str) -> int | None:
    """Return the port of a gateway on this machine's loopback, or None for any other gateway."""
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return None
    return parts.port or (443 if parts.scheme == "wss" else 80)


def find_target(url: str | None, agent_id: str | None, key: str | None) -> Target:
    """Find what to call, and the key.

    With a key, the agent is `agent_id`, AGENT_ID or that of a `piopiy dev` on loopback. Without a key the
    gateway must be such a `piopiy dev`, whose file of credentials names the agent as well. AGENT_ID does not
    count then, because it may be that of a bot elsewhere.

    Args:
        url: The gateway's address, or None for PIOPIY_URL or the default.
        agent_id: The agent's id, or None.
        key: The caller's key, or None for PIOPIY_CALLER_KEY or the key of `piopiy dev`.

    Raises:
        BadInput: Something is missing.
    """
    address = gateway_url(url)
    key = key or os.environ.get("PIOPIY_CALLER_KEY") or None
    if key is not None:
        agent_id = agent_id or read_first(ID_VARIABLES)
        if agent_id is None and (found := _of_dev(local_port(address))) is not None:
            agent_id = found.agent_id
        if agent_id is None:
            raise BadInput(f"which agent at {address}? Name it with --agent or AGENT_ID")
        return Target(address, agent_id, key)
    port = local_port(address)
    if port is None:
        raise BadInput(f"to call {address}, give the caller's key with --key or PIOPIY_CALLER_KEY")
    found = _of_dev(port)
    if found is None:
        raise BadInput(
            f"no `piopiy dev` is running on port {port}: start one, or give --url of one that is; the key of another"
            " gateway goes into --key or PIOPIY_CALLER_KEY"
        )
    return Target(address, agent_id or found.agent_id, found.caller_key)


def require_gateway(target: Target) -> None:
    """Raise `Failed` if nobody listens at a gateway's address on this machine: at once, before a verb loads what it
    calls with. Of other machines the call itself finds out, perhaps through a proxy.
    """
    port = local_port(target.url)
    if port is None:
        return
    try:
        socket.create_connection((urlsplit(target.url).hostname or "", port), CONNECT_S).close()
    except TimeoutError:
        raise Failed(f"{target.url} did not answer within {CONNECT_S:g} s") from None
    except OSError as error:
        raise no_gateway(target, error) from None


def no_gateway(target: Target, error: Exception) -> Failed:
    """Return what is said when there is no connection to a gateway."""
    from piopiy_pipeline.error_text import system_text  # only here: it imports asyncio

    what = system_text(error)
    return Failed(f"no gateway at {target.url} ({what}); start one with `piopiy dev`, or name it with --url")


def _of_dev(port: int | None) -> DevCredentials | None:
    """Return the credentials of the `piopiy dev` on a port of this machine, if there is one."""
    if port is None:
        return None
    try:
        return find_credentials(port)
    except CredentialsError as error:
        raise BadInput(str(error)) from None
