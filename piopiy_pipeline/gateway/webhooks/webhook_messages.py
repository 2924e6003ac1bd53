"""Makes the messages of webhooks from the events of the bus. No I/O.

A message is written once, for all its receivers. The events of a conversation are kept until the call ends, as
the JSON that they will be, up to a limit. So `call.ended` has all of them without a query to a database.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationReported
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallDetail, CallEvent, CallRecord, CallUsage
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder, time_of_day
from piopiy_pipeline.gateway.webhooks.config import WebhookEvent

__all__ = ["CONVERSATION_LIMIT", "WebhookMessage", "WebhookMessages"]

CONVERSATION_LIMIT = 256 << 10
"""How many bytes the events of one `call.ended` may have. Events that come when it is full are left out."""

_OF_EVENTS: dict[str, WebhookEvent] = {
    "user_turn": "call.turn",
    "bot_turn": "call.turn",
    "transfer": "call.transfer",
    "collection": "call.collection",
}


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A message: the same `message_id` and `body` at every attempt."""

    message_id: str
    call_id: str
    event: WebhookEvent
    body: bytes
    whole: tuple[str, bytes] | None = None
    """An address, and the body for it: what was left out for others is in there. None: the same for everybody."""
    on_answer: Callable[[bytes], Awaitable[None]] | None = None
    """Called with the body of the answer of whom `whole` is for."""

    def told_to(self, url: str) -> WebhookMessage:
        """Return the message as the receiver with this address gets it."""
        if self.whole is None:
            return self
        if self.whole[0] == url:
            return replace(self, body=self.whole[1], whole=None)
        return replace(self, whole=None, on_answer=None)


@dataclass(slots=True)
class _CallUnderWay:
    """What was sent of a call in progress, and the events of its conversation as JSON."""

    answered: bool = False
    events: list[str] = field(default_factory=list)
    size: int = 0
    left_out: int = 0
    usage: CallUsage = field(default_factory=CallUsage)

    def keep(self, text: str) -> None:
        """Keep an event for `call.ended`, if there is room."""
        size = len(text.encode())
        if self.size + size > CONVERSATION_LIMIT:
            self.left_out += 1
        else:
            self.size += size
            self.events.append(text)


class WebhookMessages:
    """Makes the messages that at least one receiver wants. `messages_for` must get every event, in order.

    Args:
        wanted: The webhook events that receivers want.
        new_id: Makes the ids of messages.
    """

    def __init__(
        self,
        wanted: Collection[WebhookEvent],
        *,
        new_id: Callable[[], str] = lambda: f"msg_{uuid.uuid4().hex}",
    ) -> None:
        self._wanted = frozenset(wanted)
        self._new_id = new_id
        self._records = RecordBuilder()
        self._calls: dict[str, _CallUnderWay] = {}

    def messages_for(self, event: BusEvent) -> list[WebhookMessage]:
        """Return the messages to send because of an event of the bus; often none."""
        if isinstance(event, CallChanged):
            return self._call_changed(event)
        return self._conversation_event(event)

    def messages_for_lost(self, detail: CallDetail) -> list[WebhookMessage]:
        """Return the message about the end of a call that was lost with its gateway, from the records."""
        call = _CallUnderWay(usage=detail.usage)
        for event in detail.events:
            call.keep(event.model_dump_json())
        ended_at = detail.call.ended_at or detail.call.placed_at
        return self._write("call.ended", detail.call.call_id, ended_at, _ended(detail.call, call))

    def _call_changed(self, event: CallChanged) -> list[WebhookMessage]:
        record = self._records.record(event)
        known = self._calls.get(record.call_id)
        if record.phase is Phase.ENDED:
            self._calls.pop(record.call_id, None)
            return self._message("call.ended", event, _ended(record, known or _CallUnderWay()))
        data = f'{{"call":{record.model_dump_json()}}}'
        messages: list[WebhookMessage] = []
        if known is None:
            known = self._calls[record.call_id] = _CallUnderWay()
            messages += self._message("call.placed", event, data)
        if record.answered_at is not None and not known.answered:
            known.answered = True
            messages += self._message("call.answered", event, data)
        return messages

    def _conversation_event(self, event: ConversationReported) -> list[WebhookMessage]:
        call = self._calls.get(event.call_id)
        if call is None or event.partial:
            return []
        if event.event == "usage":
            call.usage = call.usage.plus(event.data)
        model = CallEvent(number=event.number, at=event.at, event=event.event, data=event.data)
        text = model.model_dump_json()
        if "call.ended" in self._wanted:
            call.keep(text)
        name = _OF_EVENTS.get(event.event)
        if name is None or event.data.get("outcome") == "begun":
            return []
        messages = self._message(name, event, _event_data(event.call_id, text))
        if (redacted := event.redacted) is None:
            return messages
        model = model.model_copy(update={"data": event.data | redacted.data})
        whole = _body(name, time_of_day(event.when), _event_data(event.call_id, model.model_dump_json()))
        return [
            replace(one, whole=(redacted.receiver, whole), on_answer=redacted.on_answer) for one in messages
        ]

    def _message(self, name: WebhookEvent, event: BusEvent, data: str) -> list[WebhookMessage]:
        call_id = event.call.call_id if isinstance(event, CallChanged) else event.call_id
        return self._write(name, call_id, time_of_day(event.when), data)

    def _write(self, name: WebhookEvent, call_id: str, when: datetime, data: str) -> list[WebhookMessage]:
        if name not in self._wanted:
            return []
        return [WebhookMessage(self._new_id(), call_id, name, _body(name, when, data))]


def _body(name: WebhookEvent, when: datetime, data: str) -> bytes:
    timestamp = when.isoformat().replace("+00:00", "Z")
    return f'{{"type":"{name}","timestamp":"{timestamp}","data":{data}}}'.encode()


def _event_data(call_id: str, event: str) -> str:
    return f'{{"call_id":"{call_id}","event":{event}}}'


def _ended(record: CallRecord, call: _CallUnderWay) -> str:
    events = ",".join(call.events)
    return (
        f'{{"call":{record.model_dump_json()},"events":[{events}],"events_left_out":{call.left_out},'
        f'"usage":{call.usage.model_dump_json()}}}'
    )
