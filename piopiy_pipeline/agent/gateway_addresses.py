"""`GatewayAddresses`: where an agent can have its home: one address, several, or a name with several.

Agents begin at an address by chance, so that a fleet spreads over its gateways; and one whose gateway is lost goes on
with the next one, and comes back to the lost one last.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from piopiy_pipeline.url_parts import url_parts

__all__ = ["GatewayAddress", "GatewayAddresses", "choose_urls", "gateway_url", "gateway_urls"]

MOST_ADDRESSES = 64
"""Of a name with more addresses, the first ones count."""
RESOLVE_S = 2.0
LOCAL_URL = "ws://127.0.0.1:7860"


@dataclass(frozen=True, slots=True)
class GatewayAddress:
    """One place at which a gateway may be.

    Attributes:
        url: Its address, as `gateway_url` returns it.
        host: The IP address, where the name in `url` has several; None to leave that to the system.
    """

    url: str
    host: str | None = None

    @property
    def port(self) -> int:
        """The port in `url`, or that of its scheme."""
        parts = urlsplit(self.url)
        return parts.port or (443 if parts.scheme == "wss" else 80)


class GatewayAddresses:
    """The addresses, in the order in which they are tried.

    Args:
        urls: The addresses, as `gateway_urls` returns them.
        chance: Chooses with whom to begin.
    """

    def __init__(self, urls: Sequence[str], chance: random.Random | None = None) -> None:
        self._urls = tuple(urls)
        self._chance = chance or random.Random()
        self._known: list[GatewayAddress] = []
        self._left: list[GatewayAddress] = []

    @property
    def several(self) -> bool:
        """Whether another address can be tried when one fails."""
        return len(self._known) > 1

    @property
    def round_over(self) -> bool:
        """Whether all of them were tried since the last round began: it is time to wait a little."""
        return not self._left

    async def next(self) -> GatewayAddress:
        """Return the address to try next. Names are resolved again for each round."""
        if not self._left:
            await self._resolve()
        return self._left.pop(0)

    def lost(self, address: GatewayAddress) -> None:
        """Begin a round with all others, because the gateway at this address is gone."""
        others = [one for one in self._known if one != address]
        self._chance.shuffle(others)
        self._left = [*others, address]

    async def _resolve(self) -> None:
        found: list[GatewayAddress] = []
        for url in self._urls:
            hosts = await _hosts(url)
            found += (
                [GatewayAddress(url, host) for host in hosts] if len(hosts) > 1 else [GatewayAddress(url)]
            )
        self._known = found
        self._left = list(found)
        self._chance.shuffle(self._left)


async def _hosts(url: str) -> list[str]:
    """Return the IP addresses of a name; none if it cannot be resolved, which the attempt to connect will say."""
    name, port = urlsplit(url).hostname or "", GatewayAddress(url).port
    with suppress(ValueError):
        return [str(ip_address(name))]
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return []
    return list(dict.fromkeys(str(one[4][0]) for one in found))[:MOST_ADDRESSES]


def choose_urls(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the addresses of an agent's argument; for none, of the environment, else of a gateway of this machine.

    Raises:
        ValueError: One of them is no address.
    """
    if given:
        return gateway_urls(given)
    try:
        return gateway_urls(os.environ.get("PIOPIY_URL") or LOCAL_URL)
    except ValueError as error:
        raise ValueError(f"PIOPIY_URL: {error}") from None


def gateway_urls(given: str | Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of gateways: each as `gateway_url` does.

    Args:
        given: One address, several in a text with commas between them, or a sequence.

    Raises:
        ValueError: One of them is no address, or there is none.
    """
    texts = given.split(",") if isinstance(given, str) else given
    urls = tuple(dict.fromkeys(gateway_url(text.strip()) for text in texts))
    if not urls:
        raise ValueError("the gateway's address is missing: it looks like ws://host:port")
    return urls


def gateway_url(url: str) -> str:
    """Return the gateway's address, with a WebSocket scheme and without a slash at the end.

    Raises:
        ValueError: It is no such address, or it holds a user or a password.
    """
    parts = url_parts(url)
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if "@" in parts.netloc:
        raise ValueError(
            "leave user and password out of the gateway's address: agent_token is the credential"
        )
    if scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError(f"the gateway's address must look like ws://host:port, not {url!r}")
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
