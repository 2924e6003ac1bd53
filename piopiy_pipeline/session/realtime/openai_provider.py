"""`OpenAIProvider`: OpenAI's realtime protocol and those like it, and the gate that all events for them pass.

The gate stands around the service's public `send_client_event`. pipecat's own truncation goes by the time that has
passed since the first audio came, and speech is sent ahead of the moment at which it is heard: the gate drops it, and
the call sends one with the position that was heard.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from pipecat.frames.frames import VADUserStoppedSpeakingFrame
from pipecat.processors.aggregators.llm_context import LLMContext, standard_message_text

from piopiy_pipeline.compat import realtime
from piopiy_pipeline.compat.frame_taps import watch_taken
from piopiy_pipeline.compat.nonsense import end_at_nonsense
from piopiy_pipeline.compat.realtime_quirks import even_out
from piopiy_pipeline.services.realtime_dialects import OPENAI, dialect_of
from piopiy_pipeline.session.realtime.instructions import instruct_by_setting
from piopiy_pipeline.session.realtime.realtime_provider import CLOSE_S, KEPT, RealtimeProvider, said_as_it_is
from piopiy_pipeline.session.realtime.unwritten_turn import UnwrittenTurn

__all__ = ["HEARD", "PUT_IN", "ClientEvent", "OpenAIProvider"]

ITEM, DELETE = "conversation.item.create", "conversation.item.delete"
NAMES = 64
"""So many items that were put in, and that were taken out, are remembered."""
ONSET_S = 1.0
"""So much of the caller's audio is sent once more when the buffer is cleared at the beginning of a turn of ours, in
seconds: the turn begins when the caller has spoken for a while.
"""
APPEND, CLEAR, COMMIT, CREATE, UPDATE, TRUNCATE, CANCEL = (
    "input_audio_buffer.append",
    "input_audio_buffer.clear",
    "input_audio_buffer.commit",
    "response.create",
    "session.update",
    "conversation.item.truncate",
    "response.cancel",
)


HEARD = "heard_"
"""How the names of items begin that have the words which were heard."""
PUT_IN = "put_in_"
"""How the names of items begin that code has put into the conversation."""


class ClientEvent:
    """An event of the call's own: to the service like one of pipecat's.

    Args:
        type: Its type, such as ``conversation.item.truncate``.
        **fields: The rest of it, as the provider's protocol has it.
    """

    def __init__(self, type: str, **fields: Any) -> None:
        self.type = type
        self._fields = fields

    def model_dump(self, **_: Any) -> dict[str, Any]:
        """Return the event as it is sent."""
        return {"type": self.type, **self._fields}


class OpenAIProvider(RealtimeProvider):
    """A `RealtimeProvider`, and the gate: sees every event on its way to the provider.

    Args:
        service: The service, before it runs.
        asked: Called when the provider is asked for an answer.
        lost: Called when an event cannot be sent because the connection is gone.
    """

    def __init__(self, service: Any, *, asked: Callable[[], None], lost: Callable[[], None]) -> None:
        self._service = service
        self._send = service.send_client_event
        self._asked = asked
        self._lost = lost
        self._dialect = dialect_of(service) or OPENAI
        self._kept: deque[Any] = deque(maxlen=KEPT)  # the caller's audio while there is no session
        self._turn = UnwrittenTurn(service, KEPT)
        self._owes_end = False  # the caller still speaks in a turn that the session hears once more
        watch_taken(service, self._stopped, VADUserStoppedSpeakingFrame)
        self._onset: deque[tuple[float, Any]] = deque(maxlen=KEPT)  # the latest of it, and when it came
        self.takes_changes = True
        self.writes_aside = self._dialect.aside is not None
        self.instructions: str | None = None
        """What the next answer is to be, word for word."""
        self.withholds: Callable[[], bool] = lambda: False
        """Whether the request for an answer at the end of a turn is not sent."""
        self._named: deque[str] = deque(maxlen=NAMES)  # items of the conversation that this side has named
        self._taken_out: deque[str] = deque(maxlen=NAMES)
        self._asks = False  # it is this side that asks for an answer
        self._says_text = False  # the answer that was asked for last is a text that the model was told to say
        service.send_client_event = self.send
        realtime.keep_results(service, lambda: self._says_text)
        realtime.answer_all_results_at_once(service, lambda: self._asks or self.opens_only)
        realtime.close_in_time(service, CLOSE_S)
        realtime.end_when_closed(service)
        instruct_by_setting(service)
        realtime.spare(service, lambda: self.spares)
        realtime.put_in_by(service, self.tell)
        even_out(service, self.tell)
        realtime.when_broken_off(service, self._breaks_off)
        end_at_nonsense(service)

    @property
    def answers(self) -> bool:
        return realtime.answers(self._service)

    @property
    def connected(self) -> bool:
        return realtime.is_connected(self._service)

    @property
    def ready(self) -> bool:
        return realtime.is_ready(self._service)

    def item(self) -> tuple[str, int] | None:
        return realtime.audio_item(self._service)

    async def begin(self, context: LLMContext) -> None:
        self.opens_only = True
        await realtime.ask(self._service, context)
        while self._kept:  # what comes meanwhile waits behind it
            await self._send(self._kept[0])
            self._kept.popleft()

    async def ask(self, context: LLMContext, text: str | None = None) -> None:
        self.instructions, self._asks = text, True
        try:
            await realtime.ask(self._service, context)
        finally:
            self._asks = False

    async def write(self, text: str) -> None:
        content = [{"type": "input_text", "text": text}]
        item = {"type": "message", "role": "user", "content": content}
        await self.send(ClientEvent(ITEM, item=item))

    async def tell(self, messages: Sequence[Any]) -> None:
        for message in messages:
            text = standard_message_text(message)
            if not text:
                continue
            role = message.get("role") if isinstance(message, dict) else None
            await self._put_in(role if role in ("assistant", "user") else self._dialect.note_role, text)

    async def write_aside(self, text: str) -> str | None:
        response: dict[str, Any] = {"conversation": "none", "tools": []}
        if self._dialect.in_text is not None:
            response[self._dialect.in_text] = ["text"]
        if self._dialect.aside == "input":
            content = [{"type": "input_text", "text": text}]
            response["input"] = [{"type": "message", "role": "user", "content": content}]
        else:
            response["instructions"] = text
        await self._send(ClientEvent(CREATE, response=response))  # nobody waits to hear this
        return None

    async def update(self) -> None:
        await realtime.update_session(self._service)

    async def cancel(self) -> None:
        if self.answers:
            await self.send(ClientEvent(CANCEL))

    def answer_lost(self) -> None:
        realtime.answer_given_up(self._service)

    def _breaks_off(self, is_told: bool) -> None:
        self.breaks_off = is_told

    @property
    def _may_cancel(self) -> bool:
        return self.answers and not self.spares

    async def truncate(self, item: str, part: int, heard_ms: int) -> None:
        await self.send(ClientEvent(TRUNCATE, item_id=item, content_index=part, audio_end_ms=heard_ms))

    async def rewrite(self, items: list[str], heard: str) -> None:
        if heard:
            await self._put_in("assistant", heard, name=HEARD, behind=items[-1])
        await self._delete(items)

    async def _put_in(self, role: str, text: str, *, name: str = PUT_IN, behind: str | None = None) -> None:
        """Put an item into the conversation, at its end or behind another one."""
        name = f"{name}{uuid.uuid4().hex[:20]}"
        kind = self._dialect.text_kind if role == "assistant" else "input_text"
        item = {"id": name, "type": "message", "role": role, "content": [{"type": kind, "text": text}]}
        place = {} if behind is None else {"previous_item_id": behind}
        self._named.append(name)
        realtime.put_in_by_us(self._service, name)
        await self.send(ClientEvent(ITEM, **place, item=item))

    def has_named(self, item: str) -> bool:
        """Return whether an item of the conversation is one that this side has put in by name."""
        return item in self._named

    async def redact(self, item: str, text: str | None) -> None:
        """Take an item out of the conversation, and put a text of the caller's in its place; None: nothing."""
        if item not in self._taken_out:
            if text is not None:
                await self._put_in("user", text, behind=item)
            await self._delete([item])

    async def _delete(self, items: Sequence[str]) -> None:
        for name in items:
            if name not in self._taken_out:
                self._taken_out.append(name)
                await self.send(ClientEvent(DELETE, item_id=name))

    def answered(self) -> None:
        self._owes_end = self._says_text = False
        self._turn.is_answered()

    def hear_again(self) -> bool:
        if unwritten := self._turn.events():
            self._kept = deque(unwritten, maxlen=KEPT)
        hears_end = bool(unwritten) and not any(event.type == COMMIT for event in unwritten)
        self._owes_end = hears_end and self._turn.goes_on
        if hears_end and not self._turn.goes_on:
            self._asked()  # if it does not hear it, the answer is asked for as any that does not come
        return hears_end

    def _stopped(self, _service: Any, _frame: VADUserStoppedSpeakingFrame) -> None:
        if self._owes_end:
            self._owes_end = False
            self._asked()

    async def reopen(self, context: LLMContext) -> None:
        await realtime.open_again(self._service, context)

    async def send(self, event: Any) -> None:
        """Send an event, unless it is one that must not go or cannot."""
        own = isinstance(event, ClientEvent)
        if (event.type == TRUNCATE and not own) or (event.type == CANCEL and not self._may_cancel):
            return
        if event.type == TRUNCATE and event.model_dump()["item_id"] in self._taken_out:
            return
        if not self.hears and event.type in (APPEND, CLEAR, COMMIT):
            return
        if event.type == CREATE and not own and self._is_withheld(event):
            realtime.turn_withheld(self._service)
            return
        if event.type == CREATE and not (own or self._asks or self.opens_only) and self._is_saying:
            self.wants_answer()  # the provider would refuse a second one beside it
            return
        if event.type == CREATE and self.opens_only:
            self.opens_only = False
            realtime.answer_given_up(self._service)
            return
        if event.type == ITEM and not own and (named := getattr(event.item, "id", None)):
            self._named.append(named)
        connected = realtime.is_connected(self._service)
        if event.type in (APPEND, COMMIT):
            self._turn.keep(event)
        elif event.type == CLEAR:
            self._turn.cleared(0.0 if self._dialect.replays_onset else ONSET_S)
        if event.type == APPEND and (self._kept or not connected):
            self._kept.append(event)  # until the next session knows the conversation
        if not connected:
            self._lost()
        if not connected or (event.type == APPEND and self._kept):
            return
        if event.type == UPDATE and not own:
            settings = event.model_dump(exclude_none=True, by_alias=True)
            for change in (self.change, self.session):
                if change is not None:
                    change(settings["session"])
            event = ClientEvent(UPDATE, **{name: value for name, value in settings.items() if name != "type"})
        if event.type == CREATE:
            wanted, self.instructions = self.instructions, None
            self._says_text = wanted is not None
            if wanted is not None:
                event = self._word_for_word(wanted, event)
            realtime.answer_asked(self._service)
            self._asked()
        await self._send(event)
        if not self._dialect.replays_onset:
            await self._keep_onset(event)

    @property
    def _is_saying(self) -> bool:
        return self._says_text and self.answers

    def _is_withheld(self, event: Any) -> bool:
        return event.response is None and self.instructions is None and self.withholds()

    def _word_for_word(self, text: str, event: Any) -> ClientEvent:
        """Return what asks for an answer that is exactly a text, in the place of an event that asks for any."""
        match self._dialect.word_for_word:
            case "force_message":
                content = [{"type": "output_text", "text": text}]
                item = {"type": "force_message", "role": "assistant", "content": content}
                return ClientEvent(ITEM, item=item)
            case "pre_generated":
                content = [{"type": "text", "text": text}]
                message = {"type": "message", "role": "assistant", "content": content}
                response: dict[str, Any] = {"pre_generated_assistant_message": message}
                return ClientEvent(CREATE, event_id=event.event_id, response=response)
        return ClientEvent(CREATE, response={"instructions": said_as_it_is(text), "tool_choice": "none"})

    async def _keep_onset(self, event: Any) -> None:
        """Keep the latest audio of the caller's, and send it once more when the buffer is cleared."""
        now = asyncio.get_running_loop().time()
        if event.type == APPEND:
            self._onset.append((now, event))
            while self._onset[0][0] < now - ONSET_S:
                self._onset.popleft()
        elif event.type == COMMIT:
            self._onset.clear()
        elif event.type == CLEAR:
            for _, audio in tuple(self._onset):
                await self._send(audio)
