"""`Confirmations`: whether the gateway has confirmed what the agent accepted."""

from __future__ import annotations

import asyncio

__all__ = ["Confirmations"]


class Confirmations:
    """The offers that the agent has answered, or is about to, by their ids."""

    def __init__(self) -> None:
        self._awaited: dict[str, asyncio.Future[bool]] = {}

    def expect(self, offer_id: str) -> None:
        """Expect the gateway's word on this offer."""
        self._awaited[offer_id] = asyncio.get_running_loop().create_future()

    def settle(self, offer_id: str, confirmed: bool) -> None:
        """Take the gateway's word. A word on an offer that is over changes nothing."""
        confirmation = self._awaited.get(offer_id)
        if confirmation is not None and not confirmation.done():
            confirmation.set_result(confirmed)

    async def confirmed(self, offer_id: str, timeout_s: float) -> bool:
        """Wait for the gateway's word. Returns False if none comes in `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._awaited[offer_id]
        except TimeoutError:
            return False

    def forget(self, offer_id: str) -> None:
        """Forget an offer that is over."""
        self._awaited.pop(offer_id, None)
