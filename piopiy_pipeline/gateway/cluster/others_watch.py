"""`OthersWatch`: looks every two seconds which gateways are there, and logs what `GatewaysSeen` makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from loguru import logger

from piopiy_pipeline.gateway.cluster.gateways_seen import GatewaysSeen
from piopiy_pipeline.gateway.cluster.other_gateways import ANNOUNCE_S, OtherGateways

__all__ = ["OthersWatch"]


class OthersWatch:
    """The timer, from `start` to `close`.

    Args:
        others: The other gateways.
        connected: Returns whether this gateway is connected with them.
    """

    def __init__(self, others: OtherGateways, connected: Callable[[], bool]) -> None:
        self._others = others
        self._connected = connected
        self._seen = GatewaysSeen()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Look in two seconds, when those that are there have answered, and from then on."""
        self._timer = asyncio.get_running_loop().call_later(ANNOUNCE_S, self._look)

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self.start()  # first: an error in this look does not end the next ones
        now = asyncio.get_running_loop().time()
        there = [one.gateway for one in self._others.there(now)]
        lost = [one.gateway for _, one in self._others.lost(now)]
        for level, text in self._seen.look(there, lost, now, connected=self._connected()):
            logger.log(level, "{}", text)
