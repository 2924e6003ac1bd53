"""`ClusterPhones`: what the telephones of a gateway ask of its cluster. It is their `PhoneDirectory`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from piopiy_pipeline.gateway.cluster.other_gateways import OtherGateways
from piopiy_pipeline.gateway.cluster.phone_records import PhoneStore, newest
from piopiy_pipeline.gateway.phones.registered_phone import RegisteredPhone

__all__ = ["ClusterPhones"]


class ClusterPhones:
    """The phones of all gateways, as one of them sees these.

    Args:
        gateway: The name of this gateway.
        others: The other ones.
        store: Where the records are.
        wall: The time in seconds since 1970.
    """

    def __init__(
        self,
        gateway: str,
        others: OtherGateways,
        store: PhoneStore,
        *,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.gateway = gateway
        self._others = others
        self._store = store
        self._wall = wall

    def keep_phones(self, user: str, phones: Sequence[RegisteredPhone]) -> None:
        self._store.keep(user, self.gateway, phones)

    async def find_phone(self, user: str) -> RegisteredPhone | None:
        return newest(await self._store.find(user), self._wall())

    def is_there(self, gateway: str) -> bool:
        now = asyncio.get_running_loop().time()
        return any(one.gateway == gateway for one in self._others.there(now))
