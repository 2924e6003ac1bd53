"""`NatsOutbox`: what waits for the NATS servers. What is too long or too much is left out, and operators are told."""

from __future__ import annotations

import asyncio
from collections import deque

from nats.aio.client import Client

from piopiy_pipeline.gateway.cluster.console_messages import CallChanges
from piopiy_pipeline.gateway.cluster.directory_messages import GatewayNotice, GatewayPresence
from piopiy_pipeline.gateway.cluster.unsent_messages import UnsentMessages
from piopiy_pipeline.signaling.json_messages import Message, dump

__all__ = ["NatsOutbox"]

MOST_WAITING = 1000
"""So many messages wait to be sent. Of more, the oldest are dropped: who needs an answer asks again."""
MOST_BYTES = 900 << 10
"""The server takes messages of a megabyte, unless its max_payload says otherwise."""
TOO_MUCH = (
    f"other gateways are not told everything: more than {MOST_WAITING} messages wait for the NATS servers:"
    " these, or this gateway, have too much to do"
)
WORDS: dict[type[Message], str] = {
    GatewayPresence: "of this one's agents",
    GatewayNotice: "what one of them asked for",
    CallChanges: "of this one's calls",
}
"""Messages, as operators read of them."""


class NatsOutbox:
    """The messages, in order.

    Args:
        client: The connection to the servers.
        unsent: Told of what is left out.
    """

    def __init__(self, client: Client, unsent: UnsentMessages) -> None:
        self._client = client
        self._unsent = unsent
        self._waiting: deque[tuple[str, Message]] = deque(maxlen=MOST_WAITING)

    @property
    def most_bytes(self) -> int:
        """How long a message may be."""
        return min(MOST_BYTES, self._client.max_payload)

    def put(self, subject: str, message: Message) -> None:
        """Let a message wait."""
        if len(self._waiting) == MOST_WAITING:
            self._unsent.note("too much", TOO_MUCH, asyncio.get_running_loop().time())
        self._waiting.append((subject, message))

    async def send_all(self) -> None:
        """Send what waits.

        Raises:
            nats.errors.Error: The servers are not reached. The message that was being sent is lost.
        """
        while self._waiting:
            subject, message = self._waiting.popleft()
            data = dump(message).encode()
            if len(data) <= self.most_bytes:
                await self._client.publish(subject, data)
            else:
                what, now = WORDS[type(message)], asyncio.get_running_loop().time()
                self._unsent.too_long(what, len(data), self.most_bytes, now)
