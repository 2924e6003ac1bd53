"""The webhooks that are not delivered yet, as saved items in the database of the records: they outlive the gateway.

A message is saved in the transaction that writes what it is about, once for each of its receivers, and deleted
when it was delivered or given up. So each is delivered at least once, with its id, though a gateway is killed
and started again. Without records, messages live in memory alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from piopiy_pipeline.gateway.records import Records
from piopiy_pipeline.gateway.records.models import CallDetail
from piopiy_pipeline.gateway.webhooks.webhook_messages import WebhookMessage

__all__ = ["Undelivered"]

MAX_LEFT = 10_000
"""The most messages, and the most lost calls, that are taken over from a run before: what one queue holds."""


class Undelivered:
    """What is to be delivered still.

    Args:
        records: Where it is saved. None: nowhere.
    """

    def __init__(self, records: Records | None) -> None:
        self._records = records
        self._known: set[str] = set()  # keys of this run, each until it is done; the delivery queues bound it

    def add(self, receiver: str, message: WebhookMessage) -> None:
        """Save a message for a receiver."""
        if self._records is None:
            return
        key = _key(receiver, message)
        self._known.add(key)
        data = {"call_id": message.call_id, "event": message.event, "body": message.body.decode()}
        self._records.save("webhook", key, data)

    def done(self, receiver: str, message: WebhookMessage) -> None:
        """Note that nothing more is to be done about a message."""
        if self._records is not None:
            self._known.discard(_key(receiver, message))
            self._records.forget("webhook", _key(receiver, message))

    async def left(self) -> list[tuple[str, WebhookMessage]]:
        """Return the receivers and messages that runs before left undelivered, in their order.

        Raises:
            RecordsUnavailable: The database does not answer.
        """
        if self._records is None:
            return []
        items = await self._records.own_items("webhook", MAX_LEFT)
        found = [item for item in items if item.key not in self._known]
        self._known |= {item.key for item in found}
        return list(_messages((item.key, item.data or {}) for item in found))

    async def lost_calls(self) -> list[CallDetail]:
        """Return the calls that were lost with their gateway and of which no receiver knows yet. Pass each to
        `lost_call_saved`.

        Raises:
            RecordsUnavailable: The database does not answer.
        """
        if self._records is None:
            return []
        items = await self._records.own_items("lost_call", MAX_LEFT)
        details = [await self._records.detail(item.key) for item in items]
        return [detail for detail in details if detail is not None]

    def lost_call_saved(self, detail: CallDetail) -> None:
        """Note that the messages about a lost call are saved."""
        if self._records is not None:
            self._records.forget("lost_call", detail.call.call_id)


def _key(receiver: str, message: WebhookMessage) -> str:
    return f"{receiver}.{message.message_id}"


def _messages(items: Iterator[tuple[str, dict[str, str]]]) -> Iterator[tuple[str, WebhookMessage]]:
    for key, data in items:
        receiver, _, message_id = key.partition(".")
        event, body = data.get("event"), data.get("body")
        if event and body:
            yield (
                receiver,
                WebhookMessage(message_id, data.get("call_id", ""), event, body.encode()),  # type: ignore[arg-type]
            )
