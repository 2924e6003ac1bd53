"""What webhooks tell, made of what calls tell their watchers. No I/O.

A message is written once, however many it goes to. What was said in a call is kept until its end, as
the JSON that it will be, within bounds: `call.ended` has the whole of it, without asking a database.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from piopiy_pipeline.gateway.core.event_bus import BusEvent, CallChanged, ConversationTold
from piopiy_pipeline.gateway.core.snapshots import Phase
from piopiy_pipeline.gateway.records.models import CallEvent, CallRecord
from piopiy_pipeline.gateway.records.record_builder import RecordBuilder, time_of_day
from piopiy_pipeline.gateway.webhooks.config import WebhookEvent

__all__ = ["CONVERSATION_LIMIT", "WebhookMessage", "WebhookMessages"]

CONVERSATION_LIMIT = 256 << 10
"""How many bytes the events of one `call.ended` may have; those that come when it is full are left out."""

_OF_EVENTS: dict[str, WebhookEvent] = {
    "user_turn": "call.turn",
    "bot_turn": "call.turn",
    "transfer": "call.transfer",
}


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A message: the same `message_id` and `body` at every attempt, and for every receiver."""

    message_id: str
    call_id: str
    event: WebhookEvent
    body: bytes


@dataclass(slots=True)
class _CallUnderWay:
    """A call under way, as far as it was told."""

    answered: bool = False
    events: list[str] = field(default_factory=list)
    size: int = 0
    left_out: int = 0


class WebhookMessages:
    """See the module. Tell it everything, in order. `wanted` are the events that anybody wants."""

    def __init__(
        self,
        wanted: Collection[WebhookEvent],
        *,
        new_id: Callable[[], str] = lambda: f"msg_{uuid.uuid4().hex}",
    ) -> None:
        self._wanted = frozenset(wanted)
        self._new_id = new_id
        self._calendar = RecordBuilder()
        self._calls: dict[str, _CallUnderWay] = {}

    def tell(self, news: BusEvent) -> list[WebhookMessage]:
        """What is to be told of this."""
        if isinstance(news, CallChanged):
            return self._changed(news)
        return self._happened(news)

    def _changed(self, news: CallChanged) -> list[WebhookMessage]:
        record = self._calendar.record(news)
        known = self._calls.get(record.call_id)
        if record.phase is Phase.ENDED:
            self._calls.pop(record.call_id, None)
            return self._notice("call.ended", news, _ended(record, known or _CallUnderWay()))
        about = f'{{"call":{record.model_dump_json()}}}'
        notices: list[WebhookMessage] = []
        if known is None:
            known = self._calls[record.call_id] = _CallUnderWay()
            notices += self._notice("call.placed", news, about)
        if record.answered_at is not None and not known.answered:
            known.answered = True
            notices += self._notice("call.answered", news, about)
        return notices

    def _happened(self, news: ConversationTold) -> list[WebhookMessage]:
        call = self._calls.get(news.call_id)
        if call is None or news.partial:
            return []
        event = CallEvent(number=news.number, at=news.at, event=news.event, data=news.data)
        text = event.model_dump_json()
        if "call.ended" in self._wanted:
            size = len(text.encode())
            if call.size + size > CONVERSATION_LIMIT:
                call.left_out += 1
            else:
                call.size += size
                call.events.append(text)
        name = _OF_EVENTS.get(news.event)
        if name is None:
            return []
        return self._notice(name, news, f'{{"call_id":"{news.call_id}","event":{text}}}')

    def _notice(self, event: WebhookEvent, news: BusEvent, data: str) -> list[WebhookMessage]:
        if event not in self._wanted:
            return []
        call_id = news.call.call_id if isinstance(news, CallChanged) else news.call_id
        when = time_of_day(news.when).isoformat().replace("+00:00", "Z")
        body = f'{{"type":"{event}","timestamp":"{when}","data":{data}}}'
        return [WebhookMessage(self._new_id(), call_id, event, body.encode())]


def _ended(record: CallRecord, call: _CallUnderWay) -> str:
    events = ",".join(call.events)
    return f'{{"call":{record.model_dump_json()},"events":[{events}],"events_left_out":{call.left_out}}}'
