"""`GatewayConnection`: the agent's connection to its gateway at home, made again whenever it is lost.

Each connection is a `SignalingConnection`. What the messages mean for calls is the `Agent`'s business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from loguru import logger
from websockets.exceptions import InvalidStatus, WebSocketException

from piopiy_pipeline.agent.gateway_addresses import GatewayAddress, GatewayAddresses
from piopiy_pipeline.agent.signaling_connection import OPEN_S, GatewayListener, SignalingConnection
from piopiy_pipeline.error_text import own_text
from piopiy_pipeline.signaling.agent_protocol import Backoff
from piopiy_pipeline.signaling.messages import AgentMessage, InstanceDied

__all__ = ["AuthenticationError", "GatewayConnection"]

OPEN_OF_SEVERAL_S = 1.5
"""How long the handshake may take, in seconds, where another gateway can be asked: an agent has a home within two."""


class AuthenticationError(Exception):
    """The gateway refuses this agent: its token or its id is wrong. To try again would not help."""


class GatewayConnection:
    """Connects, registers, and connects again: to the same gateway, or another one if there are several addresses.

    Args:
        urls: The addresses of gateways, as `gateway_urls` returns them.
        token: The agent's token.
        agent_id: The agent's id, for the log.
        listener: Is told what comes.
    """

    def __init__(self, urls: Sequence[str], token: str, agent_id: str, listener: GatewayListener) -> None:
        self._urls = ", ".join(urls)
        self._token = token
        self._agent_id = agent_id
        self._listener = listener
        self._addresses = GatewayAddresses(urls)
        self._backoff = Backoff()
        self._gateway_missing = False
        self.home = SignalingConnection(urls[0], token, listener)
        """The latest connection: it may be one that is not made yet, or is gone."""

    async def serve(self, closing: asyncio.Event) -> None:
        """Keep a connection until `closing` is set.

        Raises:
            AuthenticationError: The gateway refuses the agent.
        """
        while not closing.is_set():
            address = await self._addresses.next()
            served = await self._try(address, closing)
            if served:
                self._addresses.lost(address)
            if not closing.is_set() and (served or self._addresses.round_over):
                await _wait(closing, self._backoff.wait(random.random()))

    def post(self, message: AgentMessage) -> None:
        """Send a message without waiting. Without a connection, there is nobody to receive it."""
        self.home.post(message)

    def registered(self) -> None:
        """Note that the gateway has taken the agent, so that the next attempt need not wait long."""
        self._backoff.reset()

    def tell_of_death(self, death: InstanceDied) -> None:
        """Tell the gateway that another call worker has died, if it knows what that means."""
        if self.home.knows_call_workers:
            self.post(death)

    async def _try(self, address: GatewayAddress, closing: asyncio.Event) -> bool:
        """Serve one connection, if it can be made. Returns whether it could."""
        open_s = OPEN_OF_SEVERAL_S if self._addresses.several else OPEN_S
        home = self.home = SignalingConnection(
            address.url, self._token, self._listener, host=address.host, open_s=open_s
        )
        served = False
        try:
            await home.serve(closing)
            served, self._gateway_missing = True, False
        except InvalidStatus as error:
            body = (error.response.body or b"").decode("utf-8", "replace").strip()[:200]
            status = error.response.status_code
            if status in (401, 403):
                raise AuthenticationError(
                    f"{home.url}: the gateway refuses agent {self._agent_id!r}: {body or 'wrong token'}"
                ) from None
            for to in error.response.headers.get_all("Location")[:1]:
                body = f"it leads to {to[:200]}: give that address, without /agent, if the gateway is there"
            self._missing(f"HTTP {status}: {body}", "trying on")
        except (OSError, TimeoutError, WebSocketException) as error:
            self._missing(own_text(error), "trying until there is one")
        if home.refused:
            raise AuthenticationError(f"{home.url}: {home.refused}")
        if served and not closing.is_set():
            level = "INFO" if home.orderly else "WARNING"
            logger.log(level, "the connection to {} is gone: connecting again", home.url)
        return served

    def _missing(self, why: str, what_now: str) -> None:
        """Say once that there is no gateway, when none of the addresses has one."""
        if not self._gateway_missing and self._addresses.round_over:
            logger.warning("no gateway at {} ({}): {}", self._urls, why, what_now)
            self._gateway_missing = True


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass
