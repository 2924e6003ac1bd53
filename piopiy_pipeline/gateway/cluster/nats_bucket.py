"""Opens the buckets of JetStream in which gateways keep what others need when they are gone."""

from __future__ import annotations

from nats.aio.client import Client
from nats.js.api import KeyValueConfig
from nats.js.errors import BadRequestError
from nats.js.kv import KeyValue

__all__ = ["WAIT_S", "open_bucket"]

WAIT_S = 2.0
"""How long the servers may take for one answer, in seconds."""


async def open_bucket(client: Client, name: str, *, kept_s: float, most_bytes: int) -> KeyValue:
    """Return a bucket, which is made if there is none. One with other settings of an operator's is taken as it is.

    Args:
        client: The connection.
        name: The name of the bucket.
        kept_s: How long an entry is kept, in seconds.
        most_bytes: How large all entries together may be.

    Raises:
        Error: JetStream is missing or refuses it.
        TimeoutError: It did not answer.
    """
    stream = client.jetstream(timeout=WAIT_S)
    try:
        return await stream.create_key_value(
            KeyValueConfig(bucket=name, ttl=kept_s, max_bytes=most_bytes, history=1)
        )
    except BadRequestError:
        return await stream.key_value(name)
