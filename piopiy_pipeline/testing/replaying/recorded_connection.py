"""`RecordedModel`: a speech-to-speech provider that says what it has said in a capture.

The service is the bot's own, with its own class: only its connection is none. So what the service makes of each
message, and what the call tells the provider, is as in production.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.protocol import State

from piopiy_pipeline.services.realtime_dialects import OPENAI, setting
from piopiy_pipeline.testing.replaying.answers import AnswerBook, Part, RecordedAnswer
from piopiy_pipeline.testing.replaying.order_of_parts import OrderOfParts
from piopiy_pipeline.testing.replaying.realtime_book import RealtimeBook, item_content, said_as_written

__all__ = ["CUT_WAIT_S", "Inbox", "RecordedModel"]

CUT_WAIT_S = 2.0
"""How many seconds an answer that was cut off waits to be cut off again."""
CUT_S = 0.02
"""So many seconds behind the caller's sound an answer is told to be cut off, as over a network that is quick: a client
that cuts it off by itself has said so by then, and how much of it was heard.
"""


class Inbox:
    """The messages on their way to the client. Of those that came at one time it gets one in each turn of the loop.

    So the stages behind it begin with the first one before the last one is there, as where a connection is read.
    """

    def __init__(self) -> None:
        self._coming: deque[str | None] = deque()
        self._there: asyncio.Queue[str | None] = asyncio.Queue()

    def put(self, text: str | None) -> None:
        """Send the client a message; None closes the connection."""
        self._coming.append(text)
        if len(self._coming) == 1:
            asyncio.get_running_loop().call_soon(self._deliver)

    async def get(self) -> str | None:
        """Return the next message; None again and again when the connection is closed."""
        text = await self._there.get()
        if text is None:
            self._there.put_nowait(None)
        return text

    def _deliver(self) -> None:
        self._there.put_nowait(self._coming.popleft())
        if self._coming:
            asyncio.get_running_loop().call_soon(self._deliver)


class RecordedModel:
    """The provider of one replay.

    Args:
        recorded: What it said.
        book: Takes what differs.
        order: Has the parts of its answers come in their order.
        give_up: Called with a sentence if the replay cannot go on.
    """

    def __init__(
        self,
        recorded: RealtimeBook,
        book: AnswerBook,
        order: OrderOfParts,
        give_up: Callable[[str], None],
    ) -> None:
        self.recorded = recorded
        self.order = order
        self.book = book
        self.give_up = give_up
        self._connection: _RecordedConnection | None = None

    def connect(self) -> _RecordedConnection:
        """Return a connection to it."""
        self._connection = _RecordedConnection(self)
        return self._connection

    def tell(self, part: Part) -> None:
        """Say what came when the caller had done what they did now."""
        if self._connection is not None:
            self._connection.of_caller(part)


class _RecordedConnection:
    """What the service takes for a WebSocket."""

    def __init__(self, model: RecordedModel) -> None:
        self.state = State.OPEN
        self._model = model
        self._inbox = Inbox()
        self._given: list[Any] = []
        self._detection: dict[str, Any] = {}
        self._answering: asyncio.Task[None] | None = None
        self._response = ""  # the answer under way
        self._cancelled: set[str] = set()
        self._cut: asyncio.TimerHandle | None = None
        self._being_cut = ""  # the answer that is cut off then
        self._number = 0
        self._say("session.created", session=model.recorded.session())

    # ------------------------------------------------------------------ as the service sees it

    async def send(self, text: str) -> None:
        """Take a message of the service."""
        message = json.loads(text)
        match message["type"]:
            case "session.update":
                self._update(message["session"])
            case "conversation.item.create":
                item = message["item"]
                if (said := said_as_written(item)) is not None:
                    self._respond(said)
                    return
                self._given.append(item_content(item))
                for what in ("added", "done"):
                    self._say(f"conversation.item.{what}", previous_item_id=None, item=item)
            case "conversation.item.truncate":
                place = {name: message[name] for name in ("item_id", "content_index", "audio_end_ms")}
                self._say("conversation.item.truncated", **place)
            case "conversation.item.delete":
                self._say("conversation.item.deleted", item_id=message["item_id"])
            case "response.create":
                self._respond(message.get("response") or {})
            case "response.cancel":
                self._cancel("client_cancelled")

    async def __aiter__(self) -> AsyncIterator[str]:
        while (text := await self._inbox.get()) is not None:
            yield text

    async def close(self, *_: Any) -> None:
        """End it."""
        self._lost()

    # ------------------------------------------------------------------ what the provider does

    def _update(self, settings: dict[str, Any]) -> None:
        self._model.recorded.updated(settings)
        found = setting(settings, ("turn_detection",)) or setting(settings, OPENAI.detection)
        if isinstance(found, dict):
            self._detection = found
        self._say("session.updated", session={**self._model.recorded.session(), **settings})

    def _respond(self, response: dict[str, Any]) -> None:
        if self._response or (self._answering is not None and not self._answering.done()):
            code = "conversation_already_has_active_response"
            self._fail(code, "Conversation already has an active response in progress")
            return
        given, self._given = self._given, []
        answer = self._model.recorded.answer(given, response)
        if answer is None:
            self._model.give_up("the model's answer to this is not in the recording")
            return
        self._answering = asyncio.create_task(self._answer(answer), name="recorded model")

    async def _answer(self, answer: RecordedAnswer) -> None:
        order = self._model.order
        asked = order.now()
        for part in answer.parts:
            await order.wait(asked, part)
            if (
                part.data.get("type") == "response.done"
                and self._response in self._model.recorded.cut_by_caller
            ):
                await asyncio.sleep(CUT_WAIT_S)
                what = "for the rest of an answer that the caller cut off when it was recorded"
                self._model.book.note("the model", what)
            self._pass_on(part)

    def of_caller(self, part: Part) -> None:
        """Say what came without a request."""
        body = part.data
        if self.state is not State.OPEN or _response_of(body) in self._cancelled:
            return
        if body.get("type") == "response.done" and self._is_being_cut(body["response"]):
            return  # it is told when its time has come
        cuts = self._detection.get("interrupt_response", True) is not False
        self._pass_on(part)
        if body.get("type") == "input_audio_buffer.speech_started" and self._response and cuts:
            self._drop_cut()
            self._being_cut = self._response
            self._cut = asyncio.get_running_loop().call_later(CUT_S, self._cut_off)

    def _is_being_cut(self, response: dict[str, Any]) -> bool:
        return response["id"] == self._being_cut == self._response and response.get("status") == "cancelled"

    def _cut_off(self) -> None:
        response, self._being_cut = self._being_cut, ""
        if self._response == response:
            self._cancel("turn_detected")

    def _drop_cut(self) -> None:
        self._being_cut = ""
        if self._cut is not None:
            self._cut.cancel()

    def _pass_on(self, part: Part) -> None:
        if part.kind == "closed":
            self._lost()
            return
        if "type" not in part.data:
            self._inbox.put(str(part.data.get("text")))
            return
        body = self._model.recorded.message(part.data)
        if body["type"] == "response.created":
            self._response = body["response"]["id"]
        elif body["type"] == "response.done":
            self._response = ""
        self._inbox.put(json.dumps(body))

    def _cancel(self, reason: str) -> None:
        answering, self._answering = self._answering, None
        if answering is not None:
            answering.cancel()
        response, self._response = self._response, ""
        if not response:
            self._fail("response_cancel_not_active", "Cancellation failed: no active response")
            return
        self._cancelled.add(response)
        details = {"type": "cancelled", "reason": reason}
        body = {"id": response, "object": "realtime.response", "status": "cancelled", "output": []}
        self._say("response.done", response={**body, "status_details": details})

    def _lost(self) -> None:
        if self._answering is not None and self._answering is not asyncio.current_task():
            self._answering.cancel()
        self._drop_cut()
        self.state = State.CLOSED
        self._inbox.put(None)

    def _fail(self, code: str, why: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": why}
        self._say("error", error=error)

    def _say(self, kind: str, **body: Any) -> None:
        self._number += 1
        message = {"type": kind, "event_id": f"event_replayed_{self._number}", **body}
        self._inbox.put(json.dumps(message))


def _response_of(body: dict[str, Any]) -> str:
    response = body.get("response")
    return str(body.get("response_id") or (response.get("id") if isinstance(response, dict) else ""))
