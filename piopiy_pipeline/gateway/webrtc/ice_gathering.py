"""How aioice gathers candidates in a worker: at which addresses, and how long servers may take.

aioice asks all STUN and TURN servers before there is an answer, and waits up to 5 s for those that say
nothing, at every call anew. Here they have a second or two, and one that said nothing is left alone for
a while: an answer waits for it now and then, not always. What aioice asks for it looks up in its module,
so it is replaced there, in the worker process alone; pyproject.toml holds aioice's minor version.
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
"""How long a STUN server may take."""
TURN_S = 2.5
"""And a TURN server, to which there are some round trips, over TLS even more."""
SILENT_S = 60.0
"""One that said nothing is not asked again for so long."""

T = TypeVar("T")


class IceServerBackoff:
    """Asks servers, each within `limit_s`, and leaves alone for a while those that said nothing.

    A server is known by `who`: its name, and the address that it is asked from. Not every address of a
    machine leads everywhere.
    """

    def __init__(self) -> None:
        self._silent_until: dict[tuple[str, ...], float] = {}

    async def ask(self, who: tuple[str, ...], limit_s: float, question: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises `TimeoutError` where there is none, and what the question raises."""
        now = asyncio.get_running_loop().time()
        if self._silent_until.get(who, now) > now:
            raise TimeoutError("it was silent a moment ago")
        try:
            async with asyncio.timeout(limit_s):
                answer = await question()
        except TimeoutError:
            self._silent_until[who] = asyncio.get_running_loop().time() + SILENT_S
            logger.warning(
                "{} did not answer within {:g} s, and is left alone for {:g} s",
                " asked from ".join(who),
                limit_s,
                SILENT_S,
            )
            raise
        self._silent_until.pop(who, None)
        return answer


def gather_at(addresses: IceAddresses) -> None:
    """Have aioice gather at these from now on: without any, at all but loopback, or at that if it is all."""
    own = compat.candidate_gathering()
    backoff = IceServerBackoff()

    def get_host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
        if not addresses.own:
            return own.host_addresses(use_ipv4=use_ipv4, use_ipv6=use_ipv6) or ["127.0.0.1"]
        return [one for one in addresses.own if (use_ipv6 if ":" in one else use_ipv4)]

    async def server_reflexive_candidate(protocol: Any, stun_server: tuple[str, int]) -> Any:
        who = (f"{stun_server[0]}:{stun_server[1]}", protocol.local_candidate.host)
        return await backoff.ask(who, STUN_S, lambda: own.server_reflexive(protocol, stun_server))

    async def relayed_candidate(*, turn_server: tuple[str, int], **settings: Any) -> Any:
        who = (f"{turn_server[0]}:{turn_server[1]}",)
        return await backoff.ask(who, TURN_S, lambda: own.relayed(turn_server=turn_server, **settings))

    compat.replace_gathering(
        compat.CandidateGathering(get_host_addresses, server_reflexive_candidate, relayed_candidate)
    )
