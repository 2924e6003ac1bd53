"""Finds the answers of a capture's Gemini Live. Without I/O.

The provider keeps the conversation, so a request holds only what is new. Requests are all messages after which Google
may say something: a set-up, the beginning and the end of a turn of the caller's, content that is to be answered, text,
and what tools have returned. They are found in their order. What the model says belongs to the request that it answers
until it is complete or cut off; what is written down of the caller belongs to the last one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from piopiy_pipeline.capture.format import ExchangeLine
from piopiy_pipeline.session.realtime.realtime_provider import HEARD_NO_MORE
from piopiy_pipeline.testing.replaying.answers import RecordedAnswer, same_up_to_a_cut
from piopiy_pipeline.testing.replaying.model_book import OTHER_PROTOCOL, AskedAnswer, ModelBook, of_gemini

__all__ = ["GeminiBook", "gemini_request", "is_of_model"]


def gemini_request(message: dict[str, Any]) -> dict[str, Any] | None:
    """Return what a message of the client's asks for, as it is compared; None: Google says nothing to it."""
    if "setup" in message:
        return {"session": message["setup"]}
    content, sound = message.get("client_content"), message.get("realtime_input")
    if isinstance(content, dict) and (content.get("turnComplete") or content.get("turn_complete")):
        return {"content": True}
    if isinstance(sound, dict):
        for name in ("activityStart", "activityEnd"):
            if name in sound:
                return {name: True}
        if str(sound.get("text") or "").strip():
            return {"text": sound["text"]}
    if isinstance(message.get("tool_response"), dict):
        return {"returned": message["tool_response"].get("functionResponses")}
    return None


def is_of_model(message: dict[str, Any]) -> bool:
    """Return whether a message of Google's is of the model's answer."""
    content = message.get("serverContent")
    names = ("modelTurn", "outputTranscription", "generationComplete", "turnComplete", "interrupted")
    return "toolCall" in message or (isinstance(content, dict) and any(name in content for name in names))


class GeminiBook(ModelBook):
    """What Google has said in one captured call."""

    def answer(self, given: list[Any], request: dict[str, Any]) -> RecordedAnswer | None:
        """Return the answer to a request, or None if there is none like it.

        Args:
            given: What the conversation has more since the last request.
            request: What is asked for, by `gemini_request`.
        """
        return self._find({"given": given, **request})

    def message(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return a message as Google sent it, with its audio."""
        content = data.get("serverContent")
        turn = content.get("modelTurn") if isinstance(content, dict) else None
        if not isinstance(turn, dict):
            return data
        parts = [self._with_audio(part) for part in turn.get("parts") or ()]
        return {**data, "serverContent": {**data["serverContent"], "modelTurn": {**turn, "parts": parts}}}

    def _with_audio(self, part: dict[str, Any]) -> dict[str, Any]:
        blob = part.get("inlineData")
        place = blob.get("audio") if isinstance(blob, dict) else None
        if not isinstance(blob, dict) or not isinstance(place, dict):
            return part
        return {**part, "inlineData": {"mimeType": blob.get("mimeType"), "data": self._audio(place)}}

    def _read(self, lines: list[ExchangeLine]) -> None:
        readings = {number: _Requests(self.add_answer, self.add_part) for number in of_gemini(lines)}
        self._of_another = bool(lines) and not readings
        for line in lines:
            if line.id in readings:
                readings[line.id].read(line)

    def _same(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        return _same(recorded, content)

    def _alike(self, recorded: dict[str, Any], content: dict[str, Any]) -> bool:
        return _kind(recorded) == _kind(content)

    def _wanted(self, content: dict[str, Any]) -> str:
        why = OTHER_PROTOCOL if self._of_another else "once more than in the recording"
        return f"{_WANTED[_kind(content)]}{';' if self._of_another else ','} {why}"

    def _changed(self, content: dict[str, Any], difference: str) -> str:
        return f"its {difference}" if _kind(content) == "session" else difference


class _Requests:
    """Reads the messages of one connection in their order: which of them belong to which request."""

    def __init__(
        self,
        add: Callable[[dict[str, Any]], RecordedAnswer],
        put: Callable[[AskedAnswer | None, ExchangeLine], None],
    ) -> None:
        self._add = add
        self._put = put
        self._given: list[Any] = []
        self._last: AskedAnswer | None = None
        self._answered: AskedAnswer | None = None  # what the model speaks to
        self._next: AskedAnswer | None = None  # what it will speak to then
        self._skips = False  # the rest of an answer that was cut off

    def read(self, line: ExchangeLine) -> None:
        """Take a line."""
        if line.kind == "sent":
            self._sent(line)
        elif line.kind == "received":
            self._received(line)
        elif line.kind == "closed":
            self._put(self._answered or self._last, line)

    def _sent(self, line: ExchangeLine) -> None:
        content = line.data.get("client_content")
        if isinstance(content, dict):
            self._given += content.get("turns") or ()
        request = gemini_request(line.data)
        if request is None:
            return
        made = {"given": [], **request}
        if "activityStart" not in request:
            made["given"], self._given = self._given, []
        self._last = (self._add(made), line.at)
        if request.keys() & {"session", "activityStart"}:
            return
        if self._answered is None:
            self._answered = self._last
        else:
            self._next = self._last

    def _received(self, line: ExchangeLine) -> None:
        content = line.data.get("serverContent")
        content = content if isinstance(content, dict) else {}
        if content.get("interrupted"):
            if self._answered is not None:
                answer, asked_at = self._answered
                answer.cut, answer.over_s = True, line.at - asked_at
            self._over()
            self._skips = not content.get("turnComplete")
            return
        if not is_of_model(line.data):
            self._put(self._last, line)
            return
        if self._skips and content.get("turnComplete"):
            self._skips = False
            return
        self._put(self._answered, line)
        if self._answered is not None and (content.get("turnComplete") or "toolCall" in line.data):
            self._answered[0].whole = True
            self._over()

    def _over(self) -> None:
        self._answered, self._next = self._next, None


_WANTED = {
    "session": "for a session",
    "activityStart": "to hear the caller",
    "activityEnd": "to answer the caller",
    "content": "to answer what it was told",
    "text": "to answer a text",
    "returned": "to answer what a tool has returned",
}


def _kind(content: dict[str, Any]) -> str:
    return next(name for name in content if name != "given")


def _same(one: Any, other: Any, *, by_bot: bool = False) -> bool:
    """Return whether two requests are the same but for the words at which the bot was cut off."""
    if isinstance(one, dict) and isinstance(other, dict):
        by_bot = by_bot or one.get("role") == "model"
        return one.keys() == other.keys() and all(
            _same(value, other[name], by_bot=by_bot) for name, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _same(each, its, by_bot=by_bot) for each, its in zip(one, other, strict=True)
        )
    if isinstance(one, str) and isinstance(other, str):
        of_heard = one.startswith(HEARD_NO_MORE) and other.startswith(HEARD_NO_MORE)
        return one == other or ((by_bot or of_heard) and same_up_to_a_cut(one, other))
    return bool(one == other)
