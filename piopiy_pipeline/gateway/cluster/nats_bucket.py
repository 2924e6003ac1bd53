"""`NatsBucket`: a bucket of JetStream in which gateways keep what others need when they are gone."""

from __future__ import annotations

from loguru import logger
from nats.aio.client import Client
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue

from piopiy_pipeline.gateway.cluster.nats_trouble import nats_trouble

__all__ = ["WAIT_S", "NatsBucket"]

WAIT_S = 2.0
"""How long the servers may take for one answer, in seconds."""


class NatsBucket:
    """One bucket, which is opened when it is needed, and once more after a failure: the server may have been started
    again without its store.

    Args:
        client: The connection.
        name: The name of the bucket.
        whose: What cannot be done without it, for people: the beginning of a sentence.
        kept_s: How long an entry is kept, in seconds.
        most_bytes: How large all entries together may be.
    """

    def __init__(self, client: Client, name: str, whose: str, *, kept_s: float, most_bytes: int) -> None:
        self.name = name
        self.problem = ""
        """Why nothing is kept there, a sentence; empty if it is."""
        self._client = client
        self._whose = whose
        self._config = KeyValueConfig(bucket=name, ttl=kept_s, max_bytes=most_bytes, history=1)
        self._opened: KeyValue | None = None

    async def open(self) -> KeyValue:
        """Return the bucket, which is made if there is none. One with settings of an operator's is taken as it is.

        Raises:
            Error: JetStream is missing or refuses it.
            TimeoutError: It did not answer.
        """
        if self._opened is None:
            stream = self._client.jetstream(timeout=WAIT_S)
            try:
                self._opened = await stream.create_key_value(self._config)
            except BadRequestError:
                self._opened = await stream.key_value(self.name)
            self.problem = ""
        return self._opened

    def lost(self) -> None:
        """Open it once more when it is needed."""
        self._opened = None

    def failed(self, error: Exception) -> None:
        """Note that the servers could not be asked, and open the bucket once more."""
        self.lost()
        if not self.problem:
            self.problem = f"{self._whose}: {nats_trouble(error)}"
            if self._client.is_connected:  # else that is said already
                logger.error("{}", self.problem)
