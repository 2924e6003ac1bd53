"""An order to call somebody waits for an instance that has a place, as a caller does who rings meanwhile.

It stands here because nobody has been dialled yet: the switchboard has no call for it. Tested in
``tests/gateway/api/test_control.py``.
"""

from __future__ import annotations

import asyncio

from piopiy_pipeline.gateway.core.agent_assignment import ASK_AGAIN_S, PLACE_S
from piopiy_pipeline.gateway.core.switchboard import Switchboard

__all__ = ["wait_for_place"]


class _WaitingOrder:
    """One order among the calls that no instance can take at the moment."""

    def __init__(self, switchboard: Switchboard, agent_id: str) -> None:
        self._switchboard = switchboard
        self._agent_id = agent_id
        self._found = asyncio.Event()

    def ask_next(self, now: float) -> None:
        board = self._switchboard
        if board.instances.any_free(self._agent_id) or board.resources.summoner.has_place(self._agent_id):
            self._found.set()

    async def wait(self) -> None:
        while not self._found.is_set():
            try:
                async with asyncio.timeout(ASK_AGAIN_S):
                    await self._found.wait()
            except TimeoutError:
                self.ask_next(0.0)


async def wait_for_place(switchboard: Switchboard, agent_id: str) -> None:
    """Wait until an instance of this agent has a place, here or elsewhere, for as long as a caller does, and no longer.

    Args:
        switchboard: Knows the instances. What it says in the end is not told here: it may have changed again.
        agent_id: Whose instances are waited for.
    """
    instances, summoner = switchboard.instances, switchboard.resources.summoner
    if instances.any_free(agent_id) or summoner.has_place(agent_id):
        return
    ring_s = None if summoner.elsewhere(agent_id) else instances.ring_s(agent_id)
    order = _WaitingOrder(switchboard, agent_id)
    waiting = switchboard.resources.waiting
    waiting.add(agent_id, order)
    try:
        async with asyncio.timeout(max(PLACE_S, ring_s or 0)):
            await order.wait()
    except TimeoutError:
        pass
    finally:
        waiting.discard(agent_id, order)
