"""`RecordedGemini`: Gemini Live that says what it has said in a capture.

The service is the bot's own, with Google's own client: only the client's WebSocket is none. So what the service makes
of each message, and what the call tells the provider, is as in production.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosedError

from piopiy_pipeline.testing.replaying.answers import AnswerBook, Part, RecordedAnswer
from piopiy_pipeline.testing.replaying.gemini_book import GeminiBook, gemini_request, is_of_model
from piopiy_pipeline.testing.replaying.order_of_parts import OrderOfParts
from piopiy_pipeline.testing.replaying.recorded_connection import CUT_WAIT_S, Inbox

__all__ = ["RecordedGemini"]


class RecordedGemini:
    """The provider of one replay.

    Args:
        recorded: What it said.
        book: Takes what differs.
        order: Has the parts of its answers come in their order.
        give_up: Called with a sentence if the replay cannot go on.
    """

    def __init__(
        self,
        recorded: GeminiBook,
        book: AnswerBook,
        order: OrderOfParts,
        give_up: Callable[[str], None],
    ) -> None:
        self.recorded = recorded
        self.order = order
        self.book = book
        self.give_up = give_up
        self._socket: _RecordedSocket | None = None

    def connect(self, setup: dict[str, Any]) -> _RecordedSocket:
        """Return a connection to it, for a session with this set-up."""
        self._socket = _RecordedSocket(self)
        self._socket.take({"setup": setup})
        return self._socket

    def tell(self, part: Part) -> None:
        """Say what came when the caller had done what they did now."""
        if self._socket is not None:
            self._socket.of_caller(part)


class _RecordedSocket:
    """What Google's client takes for a WebSocket."""

    def __init__(self, model: RecordedGemini) -> None:
        self._model = model
        self._inbox = Inbox()
        self._given: list[Any] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._answered: list[RecordedAnswer] = []  # what the model speaks to, and what it will speak to then
        self._closed = False

    # ------------------------------------------------------------------ as the client sees it

    async def send(self, text: str) -> None:
        """Take a message of the client."""
        self.take(json.loads(text))

    async def recv(self, **_: Any) -> bytes:
        """Return the next message of the provider's."""
        text = await self._inbox.get()
        if text is None:
            raise ConnectionClosedError(None, None)
        return text.encode()

    async def close(self, *_: Any) -> None:
        """End it."""
        self._lost()

    # ------------------------------------------------------------------ what the provider does

    def take(self, message: dict[str, Any]) -> None:
        """Take a message, as the client has made it."""
        content = message.get("client_content")
        if isinstance(content, dict):
            self._given += content.get("turns") or ()
        request = gemini_request(message)
        if isinstance(content, dict) or (request is not None and "activityStart" in request):
            self._interrupt()
        if request is None:
            return
        given: list[Any] = []
        if "activityStart" not in request:
            given, self._given = self._given, []
        answer = self._model.recorded.answer(given, request)
        speaks = not request.keys() & {"session", "activityStart"}
        if answer is None:
            if speaks:
                self._model.give_up("the model's answer to this is not in the recording")
            return
        if speaks:
            self._answered.append(answer)
        task = asyncio.create_task(self._answer(answer, speaks=speaks), name="recorded gemini")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _interrupt(self) -> None:
        if self._answered:
            self._answered.clear()
            self._say({"serverContent": {"interrupted": True}})
            self._say({"serverContent": {"turnComplete": True}, "usageMetadata": {}})

    async def _answer(self, answer: RecordedAnswer, *, speaks: bool) -> None:
        loop = asyncio.get_running_loop()
        order = self._model.order
        asked = order.now()
        for part in answer.parts:
            await order.wait(asked, part)
            of_model = speaks and is_of_model(part.data)
            if of_model and answer not in self._answered:
                continue  # it was cut off
            self._pass_on(part)
            content = part.data.get("serverContent")
            if of_model and ("toolCall" in part.data or (content or {}).get("turnComplete")):
                self._answered.remove(answer)
        if speaks and answer.cut and answer in self._answered:
            await asyncio.sleep(max(0.0, asked + answer.over_s - loop.time()) + CUT_WAIT_S)
            if answer in self._answered:
                what = "for the rest of an answer that the caller cut off when it was recorded"
                self._model.book.note("the model", what)
                self._answered.remove(answer)
                self._say({"serverContent": {"turnComplete": True}, "usageMetadata": {}})

    def of_caller(self, part: Part) -> None:
        """Say what came without a request."""
        if not self._closed:
            self._pass_on(part)

    def _pass_on(self, part: Part) -> None:
        if part.kind == "closed":
            self._lost()
        elif "text" in part.data:  # it was no message
            self._inbox.put(str(part.data["text"]))
        else:
            self._say(self._model.recorded.message(part.data))

    def _lost(self) -> None:
        self._closed = True
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()
        self._inbox.put(None)

    def _say(self, message: dict[str, Any]) -> None:
        self._inbox.put(json.dumps(message))
