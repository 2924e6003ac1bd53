"""Decides how aioice gathers ICE candidates in a leg process: at which addresses, and how long servers may take.

aioice asks all STUN and TURN servers before there is an answer, and waits up to 5 s for each silent server at
every call. Here a server has one or two seconds. A silent server is not asked again for
a while, so that it delays a call now and then and not always. `compat.aiortc` replaces aioice's functions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from loguru import logger

from piopiy_pipeline.compat import aiortc as compat
from piopiy_pipeline.gateway.webrtc.ice_addresses import IceAddresses

__all__ = ["IceServerBackoff", "gather_at"]

STUN_S = 1.0
"""How long a STUN server may take, in seconds."""
TURN_S = 2.5
"""How long a TURN server may take. It needs some round trips, and more over TLS."""
SILENT_S = 60.0
"""How many seconds a silent server is not asked again."""

T = TypeVar("T")


class IceServerBackoff:
    """Asks servers within a time limit, and does not ask silent ones again for `SILENT_S`."""

    def __init__(self) -> None:
        self._silent_until: dict[tuple[str, ...], float] = {}

    async def ask(self, server: tuple[str, ...], limit_s: float, question: Callable[[], Awaitable[T]]) -> T:
        """Ask a server.

        Args:
            server: Its name, and the address that it is asked from, because not every address of a machine
                leads everywhere.
            limit_s: How long it may take, in seconds.
            question: Sends the request and returns the answer.

        Raises:
            TimeoutError: The server did not answer, or did not answer a moment ago. What `question` raises
                is raised too.
        """
        now = asyncio.get_running_loop().time()
        if self._silent_until.get(server, now) > now:
            raise TimeoutError("it was silent a moment ago")
        try:
            async with asyncio.timeout(limit_s):
                answer = await question()
        except TimeoutError:
            self._silent_until[server] = asyncio.get_running_loop().time() + SILENT_S
            logger.warning(
                "{} did not answer within {:g} s, and is not asked for {:g} s",
                " asked from ".join(server),
                limit_s,
                SILENT_S,
            )
            raise
        self._silent_until.pop(server, None)
        return answer


def gather_at(addresses: IceAddresses) -> None:
    """Have aioice gather at these addresses from now on, in the whole process.

    Without own addresses it gathers at all but loopback, or at loopback if the machine has nothing else.
    """
    own = compat.candidate_gathering()
    backoff = IceServerBackoff()

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        if not addresses.own:
            return own.host_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ["127.0.0.1"]
        return [one for one in addresses.own if (use_ipv6 if ":" in one else use_ipv4)]

    async def server_reflexive_candidate(protocol: Any, stun_server: tuple[str, int]) -> Any:
        server = (f"{stun_server[0]}:{stun_server[1]}", protocol.local_candidate.host)
        return await backoff.ask(server, STUN_S, lambda: own.server_reflexive(protocol, stun_server))

    async def relayed_candidate(*, turn_server: tuple[str, int], **settings: Any) -> Any:
        server = (f"{turn_server[0]}:{turn_server[1]}",)
        return await backoff.ask(server, TURN_S, lambda: own.relayed(turn_server=turn_server, **settings))

    compat.replace_gathering(
        compat.CandidateGathering(get_host_addresses, server_reflexive_candidate, relayed_candidate)
    )
