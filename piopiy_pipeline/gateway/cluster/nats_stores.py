"""`NatsStores`: what one gateway keeps in JetStream for the others, and whether the servers have a JetStream at all."""

from __future__ import annotations

import asyncio

from loguru import logger
from nats.aio.client import Client
from nats.errors import Error

from piopiy_pipeline.gateway.cluster.nats_checkpoints import NatsCheckpoints
from piopiy_pipeline.gateway.cluster.nats_phones import NatsPhones
from piopiy_pipeline.gateway.cluster.nats_trouble import is_without_jetstream, nats_trouble

__all__ = ["NatsStores"]

STORE_S = 2.0
"""How long JetStream may take to say that it is there, in seconds."""
NO_STORE = (
    "the NATS servers have no JetStream: browsers' conversations cannot go on at other gateways, and phones cannot be"
    " called from there: start the servers with -js and a folder (-sd)"
)
NOT_SAID = "whether browsers' conversations and phones are kept for other gateways is not known: JetStream"


class NatsStores:
    """The stores, from now until `close`. Each writes in a task of its own.

    Args:
        client: The connection to the servers.
        subject: What the names of this cluster begin with.
    """

    def __init__(self, client: Client, subject: str) -> None:
        self._client = client
        self._missing = ""
        self._known = False
        self.checkpoints = NatsCheckpoints(client, subject)
        """Where checkpoints are kept for other gateways."""
        self.phones = NatsPhones(client, subject)
        """Where it is written which phones are registered."""
        self.phone_calls = NatsCheckpoints(
            client,
            subject,
            "phone-calls",
            "telephone calls cannot go on when this gateway is started again",
        )
        """Where calls of phones are kept for who takes this gateway's place."""

    @property
    def problems(self) -> list[str]:
        """Why not everything is kept, a sentence for each cause."""
        stores = (self.checkpoints, self.phone_calls, self.phones)
        found = [self._missing] if self._missing else [one.problem for one in stores]
        return [problem for problem in found if problem]

    def unsent(self, now: float) -> list[str]:
        """Return what was not kept lately although the servers could be reached, a sentence for each cause."""
        stores = (self.checkpoints, self.phone_calls, self.phones)
        return [problem for one in stores for problem in one.unsent.problems(now)]

    def look_again(self) -> None:
        """Have `look` ask again: it may be another server now, or the same with other settings or without its store."""
        self._known = False
        self.phones.write_again()

    async def look(self) -> None:
        """Ask once whether there is a JetStream, so that operators know it before it is needed."""
        if self._known:
            return
        self._known, before = True, self._missing
        try:
            await self._client.jetstream(timeout=STORE_S).account_info()
        except (Error, TimeoutError, OSError) as error:
            self._missing = NO_STORE if is_without_jetstream(error) else f"{NOT_SAID}: {nats_trouble(error)}"
            if not before:
                logger.warning("{}", self._missing)
        else:
            self._missing = ""

    async def close(self) -> None:
        """Write what waits of calls, for two seconds at most, and no more."""
        await asyncio.gather(self.checkpoints.close(), self.phones.close(), self.phone_calls.close())
